// Runs the kernel over random jobs, for the sanitizers and for nothing else.
//
//   mementum_drive [jobs] [seed]
//
// Every operand has memory of its own that ends with its last element, so that a
// sanitizer sees a byte too far. Each job runs on one thread with the baseline, and
// again with other threads and instruction sets, some beside other jobs: the bits must
// be the same, and the gaps between elements as they were.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "kernel.h"

namespace {

using Random = std::mt19937_64;

int64_t below(Random& random, int64_t n) { return int64_t(random() % uint64_t(n)); }
bool chance(Random& random, int percent) { return below(random, 100) < percent; }

int64_t width(int32_t type) {
  switch (type) {
    case MEMENTUM_FLOAT64: return 8;
    case MEMENTUM_FLOAT32: return 4;
    case MEMENTUM_FLOAT8: return 1;
    default: return 2;
  }
}

// Bytes whose end is the end of what may be touched.
struct Memory {
  int64_t size = 0;
  std::unique_ptr<uint8_t, decltype(&std::free)> bytes{nullptr, &std::free};

  explicit Memory(int64_t n) : size(n) {
    bytes.reset(static_cast<uint8_t*>(std::malloc(size_t(std::max<int64_t>(n, 1)))));
  }
  Memory(Memory&&) = default;
  Memory& operator=(Memory&&) = default;
  Memory(const Memory& other) : Memory(other.size) {
    std::memcpy(bytes.get(), other.bytes.get(), size_t(size));
  }
};

struct Operand {
  int32_t type;
  std::vector<int64_t> strides;
  int64_t offset = 0;
  Memory memory{0};

  void* data() { return memory.bytes.get() + offset * width(type); }
};

// One parameter with its operands p, g, m, v, and k where the rule keeps a peak.
struct Item {
  std::vector<int64_t> sizes;
  std::vector<Operand> operands;
  std::vector<Memory> scales;
  mementum_key state, param;
  bool dense = false;
  int64_t first = 0;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t size : sizes) n *= size;
    return n;
  }
  int64_t row() const { return std::max<int64_t>(elements() / std::max<int64_t>(sizes[0], 1), 1); }
};

struct Job {
  mementum_numbers numbers;
  int32_t param, grad, state;
  bool peak, rounds;
  std::vector<Item> items;
};

template <class T>
void put(Memory& memory, int64_t index, T value) {
  std::memcpy(memory.bytes.get() + index * int64_t(sizeof value), &value, sizeof value);
}

void fill(Operand& operand, bool square, bool odd, Random& random) {
  std::normal_distribution<double> normal;
  const int64_t n = operand.memory.size / width(operand.type);
  const double scale = odd ? std::pow(10.0, double(below(random, 60) - 40)) : 1.0;
  for (int64_t i = 0; i < n; i++) {
    double x = normal(random) * scale;
    if (square) x *= x;
    if (odd && chance(random, 2)) x = chance(random, 50) ? INFINITY : NAN;
    const float narrow = float(x);
    uint32_t bits;
    std::memcpy(&bits, &narrow, sizeof bits);
    switch (operand.type) {
      case MEMENTUM_FLOAT64: put(operand.memory, i, x); break;
      case MEMENTUM_FLOAT32: put(operand.memory, i, narrow); break;
      case MEMENTUM_BFLOAT16: put(operand.memory, i, uint16_t(bits >> 16)); break;
      case MEMENTUM_FLOAT16: put(operand.memory, i, _Float16(narrow)); break;
      case MEMENTUM_FLOAT8: put(operand.memory, i, uint8_t(random())); break;
    }
  }
}

Operand lay(const std::vector<int64_t>& sizes, int32_t type, bool dense, Random& random) {
  Operand operand{type, std::vector<int64_t>(sizes.size()), 0, Memory(0)};
  std::vector<size_t> order(sizes.size());
  for (size_t d = 0; d < order.size(); d++) order[d] = d;
  if (!dense) std::shuffle(order.begin(), order.end(), random);
  int64_t here = dense ? 1 : 1 + below(random, 3), reach = 0;
  for (size_t d = order.size(); d-- > 0;) {
    operand.strides[order[d]] = here;
    reach += (sizes[order[d]] - 1) * here;
    here *= std::max<int64_t>(sizes[order[d]], 1);
    if (!dense) here += below(random, 4);
  }
  operand.offset = below(random, 17);
  operand.memory = Memory((operand.offset + reach + 1) * width(type));
  return operand;
}

std::vector<int64_t> shape(bool large, Random& random) {
  if (large) {
    const int64_t n = (1 << 18) + below(random, 300'000);
    return chance(random, 50) ? std::vector<int64_t>{n} : std::vector<int64_t>{n / 307, 307};
  }
  const int64_t edge = chance(random, 50) ? 1 + below(random, 65)
                                          : (int64_t(1) << below(random, 13)) + below(random, 2);
  std::vector<int64_t> sizes{edge};
  while (sizes.size() < 4 && chance(random, 50)) sizes.push_back(1 + below(random, 4));
  std::shuffle(sizes.begin(), sizes.end(), random);
  return sizes;
}

Item item(const Job& job, bool large, bool odd, Random& random) {
  Item made{shape(large, random), {}, {}, {}, {}, chance(random, 50)};
  if (chance(random, 50)) made.first = int64_t(random() >> 24);
  made.state = {uint32_t(random()), uint32_t(random())};
  made.param = {uint32_t(random()), uint32_t(random())};
  const bool codes = job.state == MEMENTUM_FLOAT8;
  for (int place = 0; place < (job.peak ? 5 : 4); place++) {
    const int32_t type = place == 0 ? job.param : place == 1 ? job.grad : job.state;
    made.operands.push_back(lay(made.sizes, type, made.dense || (codes && place > 1), random));
    fill(made.operands.back(), place > 2, odd, random);
  }
  const int64_t per_row = (made.row() + MEMENTUM_FLOAT8_BLOCK - 1) / MEMENTUM_FLOAT8_BLOCK;
  for (int i = 0; codes && i < 3; i++) {
    made.scales.emplace_back(made.sizes[0] * per_row);
    for (int64_t j = 0; j < made.scales[i].size; j++)
      put(made.scales[i], j, uint8_t(110 + below(random, 30)));
  }
  return made;
}

Job draw(bool large, Random& random) {
  Job job{};
  const bool plain = chance(random, 50);
  job.numbers = {plain ? 1.0 : -1.0, plain ? 0.0 : 0.01, 0.1, 1.0, plain ? 0.0 : -1.0, 0.01,
                 plain ? 0.0 : 1e-8, plain ? 0.0 : 1e-10, 1e-8, chance(random, 50) ? 1e-3 : 0.0,
                 plain ? 0.0 : 0.01, 0.02};
  job.param = int32_t(below(random, 4));
  job.grad = int32_t(below(random, 4));
  job.state = int32_t(below(random, 5));
  if (job.state == MEMENTUM_FLOAT16) job.state = MEMENTUM_FLOAT32;
  job.peak = chance(random, 40);
  const bool exact = job.state == MEMENTUM_FLOAT64;
  job.rounds = !exact && job.param >= MEMENTUM_BFLOAT16 && chance(random, 50);
  const bool odd = job.state != MEMENTUM_FLOAT8 && chance(random, 20);
  const int64_t count = large ? 1 + below(random, 2) : 1 + below(random, 6);
  for (int64_t i = 0; i < count; i++) job.items.push_back(item(job, large, odd, random));
  return job;
}

// The columns of a call, which point into a job.
struct Columns {
  std::vector<void*> p, g, m, v, k;
  std::vector<int64_t> elements, first, rows;
  std::vector<std::vector<int64_t>> described;
  std::vector<const int64_t*> layouts;
  std::vector<mementum_key> state_keys, param_keys;
  std::vector<uint8_t*> m_scales, v_scales, k_scales;
};

std::vector<int64_t> layout_of(const Item& own, bool peak, bool codes) {
  std::vector<int64_t> layout{int64_t(own.sizes.size())};
  layout.insert(layout.end(), own.sizes.begin(), own.sizes.end());
  for (size_t place = 0; place < 5; place++) {
    const size_t known = place == 4 && !peak ? 3 : codes && place > 1 ? 0 : place;
    const std::vector<int64_t>& strides = own.operands[known].strides;
    layout.insert(layout.end(), strides.begin(), strides.end());
  }
  std::vector<int64_t> numbers(own.sizes.size(), 1);
  for (size_t d = numbers.size(); d-- > 1;) numbers[d - 1] = numbers[d] * own.sizes[d];
  layout.insert(layout.end(), numbers.begin(), numbers.end());
  return layout;
}

int32_t run(Job& job, int32_t threads, int32_t isa) {
  Columns to;
  const bool codes = job.state == MEMENTUM_FLOAT8;
  for (Item& own : job.items) {
    std::vector<Operand>& of = own.operands;
    to.p.push_back(of[0].data());
    to.g.push_back(of[1].data());
    to.m.push_back(of[2].data());
    to.v.push_back(of[3].data());
    if (job.peak) to.k.push_back(of[4].data());
    to.elements.push_back(own.elements());
    to.first.push_back(own.first);
    to.rows.push_back(own.row());
    to.described.push_back(layout_of(own, job.peak, codes));
    to.state_keys.push_back(own.state);
    to.param_keys.push_back(own.param);
    for (size_t i = 0; i < own.scales.size(); i++)
      (i == 0 ? to.m_scales : i == 1 ? to.v_scales : to.k_scales)
          .push_back(own.scales[i].bytes.get());
  }
  for (size_t i = 0; i < job.items.size(); i++)
    to.layouts.push_back(job.items[i].dense ? nullptr : to.described[i].data());
  mementum_job call{};
  call.numbers = job.numbers;
  call.param = job.param;
  call.grad = job.grad;
  call.state = job.state;
  call.isa = isa;
  call.threads = threads;
  call.rounds_param = job.rounds;
  call.count = int64_t(job.items.size());
  call.p = to.p.data();
  call.g = to.g.data();
  call.m = to.m.data();
  call.v = to.v.data();
  call.k = job.peak ? to.k.data() : nullptr;
  call.elements = to.elements.data();
  call.layouts = to.layouts.data();
  call.first = to.first.data();
  call.state_keys = codes || job.state == MEMENTUM_BFLOAT16 ? to.state_keys.data() : nullptr;
  call.param_keys = to.param_keys.data();
  if (codes) {
    call.m_scales = to.m_scales.data();
    call.v_scales = to.v_scales.data();
    call.k_scales = to.k_scales.data();
    call.rows = to.rows.data();
  }
  return mementum_step(&call);
}

// The sums of squares of all gradients.
std::vector<double> sums(Job& job, int32_t threads, int32_t isa) {
  std::vector<void*> g;
  std::vector<int64_t> elements;
  std::vector<std::vector<int64_t>> described;
  std::vector<const int64_t*> layouts;
  for (Item& own : job.items) {
    g.push_back(own.operands[1].data());
    elements.push_back(own.elements());
    described.push_back({int64_t(own.sizes.size())});
    described.back().insert(described.back().end(), own.sizes.begin(), own.sizes.end());
    const std::vector<int64_t>& strides = own.operands[1].strides;
    described.back().insert(described.back().end(), strides.begin(), strides.end());
  }
  for (size_t i = 0; i < job.items.size(); i++)
    layouts.push_back(job.items[i].dense ? nullptr : described[i].data());
  std::vector<double> found(job.items.size());
  const mementum_reading reading{job.grad, isa, threads, 0, int64_t(g.size()), g.data(),
                                 elements.data(), layouts.data()};
  if (mementum_square_sums(&reading, found.data())) found.clear();
  return found;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); i++)
    if (!(a[i] == b[i] || (a[i] != a[i] && b[i] != b[i]))) return false;
  return true;
}

bool is_nan(const Operand& operand, int64_t i) {
  const uint8_t* at = operand.memory.bytes.get() + i * width(operand.type);
  uint64_t bits = 0;
  std::memcpy(&bits, at, size_t(width(operand.type)));
  switch (operand.type) {
    case MEMENTUM_FLOAT64: return (bits & ~(uint64_t(1) << 63)) > 0x7ff0000000000000;
    case MEMENTUM_FLOAT32: return (bits & 0x7fffffff) > 0x7f800000;
    case MEMENTUM_BFLOAT16: return (bits & 0x7fff) > 0x7f80;
    case MEMENTUM_FLOAT16: return (bits & 0x7fff) > 0x7c00;
    default: return false;
  }
}

bool same(const Memory& a, const Memory& b) {
  return a.size == b.size && !std::memcmp(a.bytes.get(), b.bytes.get(), size_t(a.size));
}

bool same(const Operand& a, const Operand& b) {
  if (same(a.memory, b.memory)) return true;
  const int64_t bytes = width(a.type);
  for (int64_t i = 0; i < a.memory.size / bytes; i++) {
    const bool equal = !std::memcmp(a.memory.bytes.get() + i * bytes,
                                    b.memory.bytes.get() + i * bytes, size_t(bytes));
    if (!equal && !(is_nan(a, i) && is_nan(b, i))) return false;
  }
  return true;
}

bool same(const Job& a, const Job& b) {
  for (size_t i = 0; i < a.items.size(); i++) {
    for (size_t j = 0; j < a.items[i].operands.size(); j++)
      if (!same(a.items[i].operands[j], b.items[i].operands[j])) return false;
    for (size_t j = 0; j < a.items[i].scales.size(); j++)
      if (!same(a.items[i].scales[j], b.items[i].scales[j])) return false;
  }
  return true;
}

// Whether the gradients and everything between the elements is as it was.
bool kept(const Job& before, const Job& after) {
  for (size_t i = 0; i < before.items.size(); i++) {
    const Item &old = before.items[i], &now = after.items[i];
    if (!same(old.operands[1].memory, now.operands[1].memory)) return false;
    for (size_t j = 0; j < old.operands.size(); j++) {
      const Operand &a = old.operands[j], &b = now.operands[j];
      std::vector<bool> owned(size_t(a.memory.size / width(a.type)));
      std::vector<int64_t> index(old.sizes.size());
      for (int64_t n = old.elements(); n-- > 0;) {
        int64_t at = a.offset;
        for (size_t d = 0; d < index.size(); d++) at += index[d] * a.strides[d];
        owned[size_t(at)] = true;
        for (size_t d = index.size(); d-- > 0 && ++index[d] == old.sizes[d];) index[d] = 0;
      }
      for (size_t e = 0; e < owned.size(); e++)
        if (!owned[e] && std::memcmp(a.memory.bytes.get() + int64_t(e) * width(a.type),
                                     b.memory.bytes.get() + int64_t(e) * width(a.type),
                                     size_t(width(a.type))))
          return false;
    }
  }
  return true;
}

void check(bool right, const char* what, int64_t number) {
  if (right) return;
  std::fprintf(stderr, "job %lld: %s\n", static_cast<long long>(number), what);
  std::_Exit(1);
}

void one(int64_t number, uint64_t seed, bool large) {
  Random random(seed + uint64_t(number));
  const Job given = draw(large, random);
  Job expected = given;
  check(!run(expected, 1, MEMENTUM_BASELINE), "refused", number);
  check(kept(given, expected), "wrote where it must not", number);
  Job read = given;
  const std::vector<double> squares = sums(read, 1, MEMENTUM_BASELINE);
  check(!squares.empty(), "refused", number);
  for (int32_t isa = MEMENTUM_BASELINE; isa <= mementum_best_isa(); isa++) {
    Job other = given;
    check(!run(other, 1 + int32_t(below(random, 5)), isa), "refused", number);
    check(same(squares, sums(read, 1 + int32_t(below(random, 5)), isa)), "sums differ", number);
    check(same(expected, other), "threads or instruction sets differ", number);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t jobs = argc > 1 ? std::atoll(argv[1]) : 1'000;
  const uint64_t seed = argc > 2 ? uint64_t(std::atoll(argv[2])) : 1;
  for (int64_t i = 0; i < jobs; i++) one(i, seed, i % 50 == 0);
  // Threads of a caller, each with a job of its own.
  for (int64_t i = 0; i < jobs; i += 100) {
    std::vector<std::thread> callers;
    for (int64_t j = 0; j < 4; j++)
      callers.emplace_back([=] { one(jobs + i + j, seed, j == 0); });
    for (std::thread& caller : callers) caller.join();
  }
  std::printf("%lld jobs, instruction sets up to %d: no difference\n",
              static_cast<long long>(jobs), mementum_best_isa());
}
