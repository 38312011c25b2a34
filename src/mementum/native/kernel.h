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

// Who runs the parts of a call where more than one thread is worth it: the threads of
// the OpenMP runtime in the process, torch's where several are there, or threads made for
// the call: because there is none, or because this process is a fork, where a runtime
// waits for threads that its parent had.
enum mementum_pools : int32_t {
  MEMENTUM_OPENMP = 0,
  MEMENTUM_NO_OPENMP = 1,
  MEMENTUM_FORKED = 2,
};

// The twelve numbers of a step, in the order of mementum.family.rule.Coefficients.
struct mementum_numbers {
  double scale, pull, take_m, square_g, square_m, take_v, eps_in, eps_root, eps_out,
      shrink, step_g, step_m;
};

// The key of the words that round one parameter's moments, or the parameter itself:
// see mementum.family.noise.
struct mementum_key {
  uint32_t first, second;
};

// A step of `count` parameters. What they have in common stands here; the rest in
// columns with one entry a parameter.
//
// The step is computed in float64 where `state` says so, else in float32. Moments of
// BFLOAT16 and FLOAT8 are rounded with noise, keyed by `state_keys`; so is the
// parameter where `rounds_param` is not zero, keyed by `param_keys`. Where `own_threads`
// is not zero, threads are made for the call whoever else is there.
struct mementum_job {
  mementum_numbers numbers;
  int32_t param, grad, state, isa, threads, own_threads, rounds_param;
  int64_t count;
  // Where the elements lie, and how many there are. `k` is null where the rule keeps no
  // peak.
  void* const* p;
  void* const* g;
  void* const* m;
  void* const* v;
  void* const* k;
  const int64_t* elements;
  // Null, or null for a parameter, where all operands are dense, lie alike, and are
  // numbered as they lie. Else an entry points at rank, sizes[rank], and the
  // strides[rank] of p, g, m, v, k and of the elements' numbers. The last dimension is
  // best one where most operands have stride 1, the one before it where the others do.
  const int64_t* const* layouts;
  // The number that the noise knows the first element by; null for zeros.
  const int64_t* first;
  const mementum_key* state_keys;
  const mementum_key* param_keys;
  // For FLOAT8: the exponents of the blocks, and the elements in a row of dimension 0.
  // The codes are dense, in row-major order; a layout keeps dimension 0 first and by
  // itself, and the elements of a row are numbered one after another.
  uint8_t* const* m_scales;
  uint8_t* const* v_scales;
  uint8_t* const* k_scales;
  const int64_t* rows;
};

// Gradients to be read: their type, and columns as above. An entry of `layouts` points at
// rank, sizes[rank], strides[rank].
struct mementum_reading {
  int32_t type, isa, threads, own_threads;
  int64_t count;
  void* const* g;
  const int64_t* elements;
  const int64_t* const* layouts;
};

// The newest instruction set that this processor and this build have in common.
MEMENTUM_PUBLIC int32_t mementum_best_isa(void);

// Returns who runs parts here, one of mementum_pools, and writes the file name of the
// OpenMP runtime, or null.
MEMENTUM_PUBLIC int32_t mementum_pool(const char** file);

// Writes the rounding noise of the elements [first, first + count) of one parameter.
// Returns 0, or 1 where the instruction set is unknown here.
MEMENTUM_PUBLIC int32_t mementum_words(int32_t isa, mementum_key key, int64_t first,
                                       int64_t count, uint32_t* to);

// The size of a mementum_job, by which a caller knows the version it was written for.
MEMENTUM_PUBLIC int32_t mementum_job_size(void);

// Writes the sum of the squares of each gradient, in float64 and in an order that
// depends on its elements alone. Returns 0, or 1 where a type or instruction set is
// unknown here.
MEMENTUM_PUBLIC int32_t mementum_square_sums(const mementum_reading* reading, double* to);

// How Python objects are asked what tensors they are: a function of DLPack's exchange,
// dltensor_from_py_object_no_sync, and four of Python's own.
struct mementum_exchange {
  int (*describe)(void* tensor, void* to);
  void* (*item)(void* list, intptr_t place);
  void* (*type)(void* object);
  void (*release)(void* object);
  void (*clear_error)(void);
};

// Writes the addresses of the tensors in `width` lists of `count`, list after list. What
// they are is compared with `forms`, or written there where `learns` is not zero: for
// each its class, dtype, device and rank, and size and stride of each dimension.
// Returns 0, or 1 where one is not what it was, or has no memory.
MEMENTUM_PUBLIC int32_t mementum_locate(const mementum_exchange* how, void* rows,
                                        int64_t width, int64_t count, int32_t learns,
                                        int64_t* forms, int64_t* addresses);

// Takes one step. Returns 0, or 1 where a type or instruction set is unknown here.
MEMENTUM_PUBLIC int32_t mementum_step(const mementum_job* job);
}
