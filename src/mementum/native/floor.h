// The machine's floor: what reading and writing a step's arrays costs by itself.
#pragma once

#include <cstdint>

#include "kernel.h"

extern "C" {

// Bytes that a step reads and, where `written` is not 0, writes back.
struct mementum_stream {
  void* data;
  int64_t bytes;
  int64_t written;
};

// Passes once over `rows` rows of `width` streams: a parameter, its gradient and its
// moments. The streams of a row advance together. Every byte keeps its value.
MEMENTUM_PUBLIC void mementum_floor(const mementum_stream* streams, int64_t rows,
                                    int64_t width, int32_t threads, int32_t own_threads);
}
