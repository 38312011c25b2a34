// Who runs the parts of a call: the process's OpenMP threads, or threads of our own.
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

// Calls work(part, parts) for each part, of as many as there are threads worth it.
void split(Team team, const std::function<void(int64_t, int64_t)>& work);

}  // namespace mementum
