// Who runs the shares of a call: the process's OpenMP threads, or threads of our own.
#pragma once

#include <cstdint>
#include <functional>

#include "kernel.h"

namespace mementum {

// How much work there is, in elements of a step, and who may do it.
struct Team {
  int64_t elements;
  int32_t threads, own_threads;
};

// Calls work(begin, end) for shares of [0, total) that part at multiples of `grain`.
void split(Team team, int64_t total, int64_t grain,
           const std::function<void(int64_t, int64_t)>& work);

}  // namespace mementum
