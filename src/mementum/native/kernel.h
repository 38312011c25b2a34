// What the library offers: a plain C interface, for ctypes and for anything else.
#pragma once

#include <cstdint>

#define MEMENTUM_PUBLIC __attribute__((visibility("default")))

extern "C" {

// How elements are stored.
enum mementum_type : int32_t {
  MEMENTUM_FLOAT32 = 0,
  MEMENTUM_FLOAT64 = 1,
  MEMENTUM_BFLOAT16 = 2,
  MEMENTUM_FLOAT16 = 3,
};

// Instruction sets, in rising order. The baseline is what the compiler targets
// unasked: SSE2 on x86-64, NEON on arm64.
enum mementum_isa : int32_t {
  MEMENTUM_BASELINE = 0,
  MEMENTUM_AVX2 = 1,
  MEMENTUM_AVX512 = 2,
};

// The twelve numbers of a step, in the order of mementum.rule.Coefficients.
struct mementum_numbers {
  double scale, pull, take_m, square_g, square_m, take_v, eps_in, eps_root, eps_out,
      shrink, step_g, step_m;
};

// One parameter: where its elements lie, and how many there are. `k` is null where the
// rule keeps no peak. `layout` is null where all operands are dense and lie alike; else
// it points at rank, sizes[rank], and the strides[rank] of p, g, m, v, k in elements.
struct mementum_item {
  void* p;
  void* g;
  void* m;
  void* v;
  void* k;
  int64_t elements;
  const int64_t* layout;
};

// What every item of a call has in common. The moments are computed and stored in
// float64 where `state` says so, else in float32.
struct mementum_job {
  mementum_numbers numbers;
  int32_t param, grad, state, isa, threads;
  int64_t count;
  const mementum_item* items;
};

// The newest instruction set that this processor and this build have in common.
MEMENTUM_PUBLIC int32_t mementum_best_isa(void);

// Takes one step. Returns 0, or 1 where a type or instruction set is unknown here.
MEMENTUM_PUBLIC int32_t mementum_step(const mementum_job* job);
}
