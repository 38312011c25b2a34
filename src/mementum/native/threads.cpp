// After a backward pass torch's OpenMP threads still spin: new threads would share their
// cores. So the runtime that torch has loaded is found at run time, and runs the parts.

#include "threads.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__) && !defined(MEMENTUM_OWN_THREADS)
#define MEMENTUM_FINDS_OPENMP
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#endif

namespace mementum {

using Work = std::function<void(int64_t, int64_t)>;

// Below these many elements a thread costs more than it saves: one that spins already,
// and one that has to be made.
constexpr int64_t WORTH_A_SPINNING_THREAD = 1 << 14;
constexpr int64_t WORTH_A_NEW_THREAD = 1 << 17;

// Threads of our own live for one call: none is left to spin, nor to be missing after a
// fork.
static void split_over_new(int64_t parts, const Work& work) {
  std::vector<std::thread> others;
  int64_t part = 1;
  for (; part < parts; part++) {
    try {
      others.emplace_back([=, &work] { work(part, parts); });
    } catch (const std::system_error&) {
      break;
    }
  }
  work(0, parts);
  for (; part < parts; part++) work(part, parts);
  for (std::thread& other : others) other.join();
}

// The ways into an OpenMP runtime: GNU's, which LLVM's and Intel's mostly have too, or
// LLVM's.
struct OpenMP {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  void (*fork_call)(void*, int32_t, void (*)(int32_t*, int32_t*, void*), ...) = nullptr;
  void (*push_num_threads)(void*, int32_t, int32_t) = nullptr;
  int32_t (*global_thread_num)(void*) = nullptr;
  int (*thread_num)() = nullptr;
  int (*num_threads)() = nullptr;
  const char* file = nullptr;
};

#ifdef MEMENTUM_FINDS_OPENMP

template <class Function>
static void look_up(void* library, const char* symbol, Function& to) {
  to = reinterpret_cast<Function>(dlsym(library, symbol));
}

// Returns what torch's calls to a symbol reach: it is bound as libtorch_cpu's are.
static void* as_torch_finds(const char* symbol) {
  if (void* const found = dlsym(RTLD_DEFAULT, symbol)) return found;
  void* const torch = dlopen("libtorch_cpu.so", RTLD_NOLOAD | RTLD_LAZY);
  return torch ? dlsym(torch, symbol) : nullptr;
}

static OpenMP find() {
  OpenMP found;
  for (const char* symbol : {"GOMP_parallel", "__kmpc_fork_call"}) {
    Dl_info where;
    void* const function = as_torch_finds(symbol);
    if (!function || !dladdr(function, &where)) continue;
    void* const library = dlopen(where.dli_fname, RTLD_NOLOAD | RTLD_LAZY);
    if (!library) continue;
    look_up(library, "GOMP_parallel", found.parallel);
    look_up(library, "__kmpc_fork_call", found.fork_call);
    look_up(library, "__kmpc_push_num_threads", found.push_num_threads);
    look_up(library, "__kmpc_global_thread_num", found.global_thread_num);
    look_up(library, "omp_get_thread_num", found.thread_num);
    look_up(library, "omp_get_num_threads", found.num_threads);
    const bool llvm = found.fork_call && found.push_num_threads && found.global_thread_num;
    if ((!found.parallel && !llvm) || !found.thread_num || !found.num_threads) continue;
    found.file = where.dli_fname;
    break;
  }
  return found;
}

static std::atomic<bool> forked{false};

// Whether this process is a fork that has not become another program: a flag of the
// first thread, in the ninth field of its line.
static bool is_a_fork() {
  constexpr unsigned FORKED_AND_NOT_EXECUTED = 0x40;
  char line[1024] = "";
  unsigned flags = 0;
  if (std::FILE* const stat = std::fopen("/proc/self/stat", "r")) {
    line[std::fread(line, 1, sizeof line - 1, stat)] = 0;
    std::fclose(stat);
  }
  // The name, in brackets, may hold anything.
  const char* const name_end = std::strrchr(line, ')');
  if (!name_end) return false;
  std::sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags);
  return flags & FORKED_AND_NOT_EXECUTED;
}

// A fork has its parent's memory and none of its threads: a runtime waits for them.
static const bool sees_forks = [] {
  forked = is_a_fork();
  return !pthread_atfork(nullptr, nullptr, [] { forked = true; });
}();

static const OpenMP& openmp() {
  static const OpenMP found = find();
  return found;
}

static int32_t pool() {
  if (forked || !sees_forks) return MEMENTUM_FORKED;
  return openmp().file ? MEMENTUM_OPENMP : MEMENTUM_NO_OPENMP;
}

#else

static const OpenMP& openmp() {
  static const OpenMP none;
  return none;
}

static int32_t pool() { return MEMENTUM_NO_OPENMP; }

#endif

// What the threads of a team are told.
struct Region {
  int64_t parts;
  const Work& work;
  const std::fenv_t* mode;
};

// Does the parts of one thread. What it does with denormals is what the caller does.
static void take_part(const Region& region) {
  std::fenv_t own;
  std::fegetenv(&own);
  std::fesetenv(region.mode);
  const int64_t team = openmp().num_threads();
  for (int64_t part = openmp().thread_num(); part < region.parts; part += team)
    region.work(part, region.parts);
  std::fesetenv(&own);
}

// The whole team is called, however few parts there are: a runtime that is asked for
// fewer ends the others, and makes them anew for the next that wants all.
static void split_over_openmp(int64_t parts, int32_t threads, const Work& work) {
  std::fenv_t mode;
  std::fegetenv(&mode);
  Region region{parts, work, &mode};
  const OpenMP& runtime = openmp();
  if (runtime.parallel) {
    runtime.parallel([](void* data) { take_part(*static_cast<Region*>(data)); }, &region,
                     unsigned(threads), 0);
    return;
  }
  // As LLVM's compiler describes a place in the source: KMP_IDENT_KMPC, and no name.
  struct {
    int32_t reserved_1 = 0, flags = 2, reserved_2 = 0, reserved_3 = 0;
    const char* source = ";unknown;unknown;0;0;;";
  } place;
  runtime.push_num_threads(&place, runtime.global_thread_num(&place), threads);
  runtime.fork_call(
      &place, 1,
      [](int32_t*, int32_t*, void* data) { take_part(*static_cast<Region*>(data)); }, &region);
}

void split(Team team, const Work& work) {
  const bool own = team.own_threads || pool() != MEMENTUM_OPENMP;
  const int64_t worth = own ? WORTH_A_NEW_THREAD : WORTH_A_SPINNING_THREAD;
  const int64_t most = std::max(team.threads, 1);
  const int64_t parts = std::clamp<int64_t>(team.elements / worth, 1, most);
  if (parts == 1)
    work(0, 1);
  else if (own)
    split_over_new(parts, work);
  else
    split_over_openmp(parts, team.threads, work);
}

}  // namespace mementum

extern "C" int32_t mementum_pool(const char** file) {
  *file = mementum::openmp().file;
  return mementum::pool();
}
