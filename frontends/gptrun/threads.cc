#include "frontends/gptrun/threads.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>

namespace gptc {
namespace {

// libgomp counts turns of a loop around the processor's pause instruction, which takes 10 ns on one and 50 on another.
int64_t TurnsIn(std::chrono::nanoseconds time) {
  constexpr int64_t kTried = 2000;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < kTried; ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  const auto took = std::max<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start,
                                                       std::chrono::nanoseconds(kTried / 2));
  return std::max<int64_t>(1, kTried * time.count() / took.count());
}

}  // namespace

void DeclareThreads(CLI::App& app, int64_t& threads) {
  app.add_option("--threads", threads, "Threads; 0: OMP_NUM_THREADS, else the cores")
      ->check(CLI::Range(int64_t{0}, int64_t{1024}))
      ->capture_default_str()
      ->group("Machine");
}

int ApplyThreads(int64_t threads) {
  if (threads > 0) omp_set_num_threads(static_cast<int>(threads));
  return omp_get_max_threads();
}

void SettleSpinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  const std::string turns = std::to_string(TurnsIn(std::chrono::microseconds(400)));
  if (setenv("GOMP_SPINCOUNT", turns.c_str(), /*overwrite=*/0) != 0) return;
  execv("/proc/self/exe", argv);  // returns only where it fails, and then all goes on as it was
}

}  // namespace gptc
