// An OpenMP runtime with LLVM's way in and no other, and new threads for every region.

#include <cstdint>
#include <thread>
#include <vector>

static thread_local int number = 0, team = 1;
static int asked = 1, forks = 0;

extern "C" {
int regions() { return forks; }
int omp_get_thread_num() { return number; }
int omp_get_num_threads() { return team; }
int32_t __kmpc_global_thread_num(void*) { return 0; }
void __kmpc_push_num_threads(void*, int32_t, int32_t threads) { asked = threads; }
void __kmpc_fork_call(void*, int32_t, void (*task)(int32_t*, int32_t*, void*), void* data) {
  forks++;
  std::vector<std::thread> others;
  const auto part = [=](int32_t mine) {
    number = mine, team = asked;
    task(&mine, &mine, data);
    number = 0, team = 1;
  };
  for (int32_t i = 1; i < asked; i++) others.emplace_back(part, i);
  part(0);
  for (std::thread& other : others) other.join();
}
}
