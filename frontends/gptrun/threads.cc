#include "frontends/gptrun/threads.h"

#include <omp.h>

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

}  // namespace gptc
