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

int32_t run(Job& job, int32_t threads, int32_t isa) {
  std::vector<mementum_item> items;
  std::vector<mementum_rounding> roundings;
  std::vector<std::vector<int64_t>> layouts(job.items.size());
  for (size_t i = 0; i < job.items.size(); i++) {
    Item& own = job.items[i];
    std::vector<Operand>& of = own.operands;
    if (!own.dense) {
      layouts[i] = {int64_t(own.sizes.size())};
      layouts[i].insert(layouts[i].end(), own.sizes.begin(), own.sizes.end());
      for (int place = 0; place < 5; place++) {
        const std::vector<int64_t>& strides = of[size_t(place == 4 && !job.peak ? 3 : place)].strides;
        layouts[i].insert(layouts[i].end(), strides.begin(), strides.end());
      }
    }
    items.push_back({of[0].data(), of[1].data(), of[2].data(), of[3].data(),
                     job.peak ? of[4].data() : nullptr, own.elements(),
                     own.dense ? nullptr : layouts[i].data()});
    mementum_rounding rounding{own.state, own.param, nullptr, nullptr, nullptr, own.row()};
    if (!own.scales.empty()) {
      rounding.m_scale = own.scales[0].bytes.get();
      rounding.v_scale = own.scales[1].bytes.get();
      rounding.k_scale = own.scales[2].bytes.get();
    }
    roundings.push_back(rounding);
  }
  mementum_job call{};
  call.numbers = job.numbers;
  call.param = job.param;
  call.grad = job.grad;
  call.state = job.state;
  call.isa = isa;
  call.threads = threads;
  call.rounds_param = job.rounds;
  call.count = int64_t(items.size());
  call.items = items.data();
  call.roundings = roundings.data();
  return mementum_step(&call);
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
  for (int32_t isa = MEMENTUM_BASELINE; isa <= mementum_best_isa(); isa++) {
    Job other = given;
    check(!run(other, 1 + int32_t(below(random, 5)), isa), "refused", number);
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
