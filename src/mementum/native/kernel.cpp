// The choice of an instruction set, and the split over threads.

#include "kernel.h"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace mementum {

using Step = void(const mementum_job&, int64_t, int64_t);
using Words = void(mementum_key, int64_t, int64_t, uint32_t*);

// What kernel.inc defines for each instruction set.
namespace baseline { Step step; Words words; }
namespace avx2 { Step step; Words words; }
namespace avx512 { Step step; Words words; }

struct Build {
  Step* step;
  Words* words;
};

static Build build_for(int32_t isa) {
  if (isa == MEMENTUM_BASELINE) return {baseline::step, baseline::words};
#ifdef MEMENTUM_X86
  if (isa == MEMENTUM_AVX2) return {avx2::step, avx2::words};
  if (isa == MEMENTUM_AVX512) return {avx512::step, avx512::words};
#endif
  return {nullptr, nullptr};
}

// Below this many elements a thread costs more than it saves.
constexpr int64_t WORTH_A_THREAD = 1 << 17;
// Threads part at multiples of this, so that no two write to one cache line often.
constexpr int64_t GRAIN = 1024;

static void split(Step* step, const mementum_job& job, int64_t total) {
  const int64_t threads = std::clamp<int64_t>(total / WORTH_A_THREAD, 1, std::max(job.threads, 1));
  const int64_t share = (total / threads + GRAIN - 1) / GRAIN * GRAIN;
  std::vector<std::thread> others;
  int64_t begin = share;
  // Threads live for one call: none is left to spin, nor to be missing after a fork.
  for (; begin < total; begin += share) {
    const int64_t end = std::min(total, begin + share);
    try {
      others.emplace_back([=, &job] { step(job, begin, end); });
    } catch (const std::system_error&) {
      break;
    }
  }
  step(job, 0, std::min(share, total));
  if (begin < total) step(job, begin, total);
  for (std::thread& other : others) other.join();
}

static bool known(int32_t type) {
  return MEMENTUM_FLOAT32 <= type && type <= MEMENTUM_FLOAT16;
}

// Whether moments can be of a type, and what their rounding needs is there.
static bool keeps(const mementum_job& job) {
  const bool exact = job.state == MEMENTUM_FLOAT32 || job.state == MEMENTUM_FLOAT64;
  const bool rounded = job.state == MEMENTUM_BFLOAT16 || job.state == MEMENTUM_FLOAT8;
  return (exact && !job.rounds_param) || ((exact || rounded) && job.roundings);
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
  mementum::Step* const step = mementum::build_for(job->isa).step;
  if (!step || !mementum::keeps(*job) || !mementum::known(job->param) ||
      !mementum::known(job->grad))
    return 1;
  int64_t total = 0;
  for (int64_t i = 0; i < job->count; i++) total += job->items[i].elements;
  if (total) mementum::split(step, *job, total);
  return 0;
}
