// A loop that reads and writes a step's arrays and computes nothing.

#include "floor.h"

#include <algorithm>
#include <cstring>

#include "threads.h"

namespace mementum {

// A page: larger and smaller blocks were no faster.
constexpr int64_t PAGE = 4096;

// What a step moves for an element, about.
constexpr int64_t BYTES = 28;

// Volatile, so that no compiler can know it, nor drop what it is combined with.
static const volatile uint64_t ZERO = 0;

static uint64_t word(const char* at) {
  uint64_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

// Returns zero again, in a way that needs every word that was read.
static uint64_t pass(char* data, int64_t bytes, bool written, uint64_t zero) {
  const int64_t words = bytes / 8;
  uint64_t seen = 0;
  if (written) {
    for (int64_t i = 0; i < words; i++) {
      const uint64_t bits = word(data + 8 * i) ^ zero;
      std::memcpy(data + 8 * i, &bits, sizeof bits);
    }
    return zero;
  }
  for (int64_t i = 0; i < words; i++) seen |= word(data + 8 * i);
  return zero & seen;
}

// Passes over one share of every row.
static void share(const mementum_stream* row, int64_t rows, int64_t width, int64_t mine,
                  int64_t shares) {
  uint64_t zero = ZERO;
  for (int64_t r = 0; r < rows; r++, row += width) {
    int64_t longest = 0;
    for (int64_t i = 0; i < width; i++) longest = std::max(longest, row[i].bytes);
    const int64_t blocks = (longest + PAGE - 1) / PAGE;
    for (int64_t b = blocks * mine / shares; b < blocks * (mine + 1) / shares; b++)
      for (int64_t i = 0; i < width; i++) {
        const int64_t words = row[i].bytes / 8;
        const int64_t from = words * b / blocks * 8, to = words * (b + 1) / blocks * 8;
        zero = pass(static_cast<char*>(row[i].data) + from, to - from,
                    row[i].written != 0, zero);
      }
  }
}

}  // namespace mementum

extern "C" void mementum_floor(const mementum_stream* streams, int64_t rows,
                               int64_t width, int32_t threads, int32_t own_threads) {
  int64_t total = 0;
  for (int64_t i = 0; i < rows * width; i++) total += streams[i].bytes;
  mementum::split({total / mementum::BYTES, threads, own_threads},
                  [=](int64_t part, int64_t parts) {
                    mementum::share(streams, rows, width, part, parts);
                  });
}
