// The choice of an instruction set, and the split over threads.

#include "kernel.h"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace mementum {

namespace baseline { void step(const mementum_job&, int64_t, int64_t); }
#ifdef MEMENTUM_X86
namespace avx2 { void step(const mementum_job&, int64_t, int64_t); }
namespace avx512 { void step(const mementum_job&, int64_t, int64_t); }
#endif

using Step = void (*)(const mementum_job&, int64_t, int64_t);

static Step step_for(int32_t isa) {
  if (isa == MEMENTUM_BASELINE) return baseline::step;
#ifdef MEMENTUM_X86
  if (isa == MEMENTUM_AVX2) return avx2::step;
  if (isa == MEMENTUM_AVX512) return avx512::step;
#endif
  return nullptr;
}

// Below this many elements a thread costs more than it saves.
constexpr int64_t WORTH_A_THREAD = 1 << 17;
// Threads part at multiples of this, so that no two write to one cache line often.
constexpr int64_t GRAIN = 1024;

static void split(Step step, const mementum_job& job, int64_t total) {
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

extern "C" int32_t mementum_step(const mementum_job* job) {
  const mementum::Step step = mementum::step_for(job->isa);
  const bool computes = job->state == MEMENTUM_FLOAT32 || job->state == MEMENTUM_FLOAT64;
  if (!step || !computes || !mementum::known(job->param) || !mementum::known(job->grad)) return 1;
  int64_t total = 0;
  for (int64_t i = 0; i < job->count; i++) total += job->items[i].elements;
  if (total) mementum::split(step, *job, total);
  return 0;
}
