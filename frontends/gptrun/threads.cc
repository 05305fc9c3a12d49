#include "frontends/gptrun/threads.h"

#include <omp.h>
#include <unistd.h>

#include <cstdlib>

namespace gptc {

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
  if (setenv("GOMP_SPINCOUNT", "5000", /*overwrite=*/0) != 0) return;
  execv("/proc/self/exe", argv);  // returns only where it fails, and then all goes on as it was
}

}  // namespace gptc
