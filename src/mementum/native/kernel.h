// What the library offers: a plain C interface, for ctypes and for anything else.
#pragma once

#include <cstdint>

#define MEMENTUM_PUBLIC __attribute__((visibility("default")))

extern "C" {

// How elements are stored. FLOAT8 is for moments alone: a byte each, and an exponent
// for every block of MEMENTUM_FLOAT8_BLOCK elements within a row of dimension 0.
enum mementum_type : int32_t {
  MEMENTUM_FLOAT32 = 0,
  MEMENTUM_FLOAT64 = 1,
  MEMENTUM_BFLOAT16 = 2,
  MEMENTUM_FLOAT16 = 3,
  MEMENTUM_FLOAT8 = 4,
};

enum { MEMENTUM_FLOAT8_BLOCK = 256 };

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

// The key of the words that round one parameter's moments, or the parameter itself:
// see mementum.noise.
struct mementum_key {
  uint32_t first, second;
};

// What rounding needs to know of one parameter. The scales are null, and `row` (the
// elements in a row of dimension 0) is unused, unless the moments are FLOAT8; their
// codes are then dense, in row-major order.
struct mementum_rounding {
  mementum_key state, param;
  uint8_t* m_scale;
  uint8_t* v_scale;
  uint8_t* k_scale;
  int64_t row;
};

// What every item of a call has in common. The step is computed in float64 where
// `state` says so, else in float32. Moments of BFLOAT16 and FLOAT8 are rounded with
// noise, and so is the parameter where `rounds_param` is not zero; `roundings` has then
// one entry an item, and layouts must run through the dimensions in their order. Else
// it is null.
struct mementum_job {
  mementum_numbers numbers;
  int32_t param, grad, state, isa, threads, rounds_param;
  int64_t count;
  const mementum_item* items;
  const mementum_rounding* roundings;
};

// The newest instruction set that this processor and this build have in common.
MEMENTUM_PUBLIC int32_t mementum_best_isa(void);

// Writes the rounding noise of the elements [first, first + count) of one parameter.
// Returns 0, or 1 where the instruction set is unknown here.
MEMENTUM_PUBLIC int32_t mementum_words(int32_t isa, mementum_key key, int64_t first,
                                       int64_t count, uint32_t* to);

// The size of a mementum_job, by which a caller knows the version it was written for.
MEMENTUM_PUBLIC int32_t mementum_job_size(void);

// Takes one step. Returns 0, or 1 where a type or instruction set is unknown here.
MEMENTUM_PUBLIC int32_t mementum_step(const mementum_job* job);
}
