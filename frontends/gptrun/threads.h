// How many threads kernels run on.
#ifndef GPTC_FRONTENDS_GPTRUN_THREADS_H_
#define GPTC_FRONTENDS_GPTRUN_THREADS_H_

#include <cstdint>

#include "frontends/common/command.h"

namespace gptc {

// Adds --threads (GPTC_THREADS), 0 for OMP_NUM_THREADS or, without it, the cores. `threads` must outlive the parsing.
void DeclareThreads(CLI::App& app, int64_t& threads);
// Applies it to OpenMP. Returns the number in force.
int ApplyThreads(int64_t threads);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_THREADS_H_
