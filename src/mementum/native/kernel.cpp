// The choice of an instruction set, and the calls that others make.

#include "kernel.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "threads.h"

namespace mementum {

using Step = void(const mementum_job&, int64_t, int64_t);
using Words = void(mementum_key, int64_t, int64_t, uint32_t*);
using Square = double(const mementum_reading&, int64_t, int64_t, int64_t);

// What isa/kernel.inc defines for each instruction set.
namespace baseline { Step step; Words words; Square square; }
namespace avx2 { Step step; Words words; Square square; }
namespace avx512 { Step step; Words words; Square square; }

struct Build {
  Step* step;
  Words* words;
  Square* square;
};

static Build build_for(int32_t isa) {
  if (isa == MEMENTUM_BASELINE) return {baseline::step, baseline::words, baseline::square};
#ifdef MEMENTUM_X86
  if (isa == MEMENTUM_AVX2) return {avx2::step, avx2::words, avx2::square};
  if (isa == MEMENTUM_AVX512) return {avx512::step, avx512::words, avx512::square};
#endif
  return {nullptr, nullptr, nullptr};
}

// What is summed in one piece, whatever the number of threads.
constexpr int64_t PIECE = 1 << 16;

static bool known(int32_t type) {
  return MEMENTUM_FLOAT32 <= type && type <= MEMENTUM_FLOAT16;
}

// Whether moments can be of a type, and what their rounding needs is there.
static bool keeps(const mementum_job& job) {
  const bool exact = job.state == MEMENTUM_FLOAT32 || job.state == MEMENTUM_FLOAT64;
  const bool rounded = job.state == MEMENTUM_BFLOAT16 || job.state == MEMENTUM_FLOAT8;
  const bool scaled = job.m_scales && job.v_scales && job.rows && (job.k_scales || !job.k);
  return (exact || (rounded && job.state_keys)) &&
         (job.state != MEMENTUM_FLOAT8 || scaled) && (!job.rounds_param || job.param_keys);
}

static int64_t total(const int64_t* elements, int64_t count) {
  return std::accumulate(elements, elements + count, int64_t(0));
}

}  // namespace mementum

extern "C" int32_t mementum_best_isa(void) {
#ifdef MEMENTUM_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return MEMENTUM_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) return MEMENTUM_AVX2;
#endif
  return MEMENTUM_BASELINE;
}

extern "C" int32_t mementum_job_size(void) { return int32_t(sizeof(mementum_job)); }

extern "C" int32_t mementum_words(int32_t isa, mementum_key key, int64_t first,
                                  int64_t count, uint32_t* to) {
  mementum::Words* const words = mementum::build_for(isa).words;
  if (!words) return 1;
  words(key, first, count, to);
  return 0;
}

extern "C" int32_t mementum_step(const mementum_job* job) {
  using namespace mementum;
  Step* const step = build_for(job->isa).step;
  if (!step || !keeps(*job) || !known(job->param) || !known(job->grad)) return 1;
  if (const int64_t elements = total(job->elements, job->count))
    split({elements, job->threads, job->own_threads},
          [=](int64_t part, int64_t parts) { step(*job, part, parts); });
  return 0;
}

extern "C" int32_t mementum_square_sums(const mementum_reading* reading, double* to) {
  using namespace mementum;
  Square* const square = build_for(reading->isa).square;
  if (!square || !known(reading->type)) return 1;
  // The pieces of gradient i are [first[i], first[i + 1]).
  std::vector<int64_t> first{0};
  for (int64_t i = 0; i < reading->count; i++)
    first.push_back(first.back() + (reading->elements[i] + PIECE - 1) / PIECE);
  std::vector<double> sums(size_t(first.back()));
  const int64_t pieces = first.back();
  const auto work = [&](int64_t part, int64_t parts) {
    const int64_t begin = pieces * part / parts, end = pieces * (part + 1) / parts;
    if (begin == end) return;
    int64_t i = std::upper_bound(first.begin(), first.end(), begin) - first.begin() - 1;
    for (int64_t piece = begin; piece < end; piece++) {
      while (piece >= first[size_t(i) + 1]) i++;
      const int64_t at = (piece - first[size_t(i)]) * PIECE;
      sums[size_t(piece)] = square(*reading, i, at, std::min(PIECE, reading->elements[i] - at));
    }
  };
  // To read costs half a step.
  const int64_t elements = total(reading->elements, reading->count) / 2;
  if (pieces) split({elements, reading->threads, reading->own_threads}, work);
  for (int64_t i = 0; i < reading->count; i++)
    to[i] = std::accumulate(sums.begin() + first[size_t(i)], sums.begin() + first[size_t(i) + 1], 0.0);
  return 0;
}
