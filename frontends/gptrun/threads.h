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

// How long OpenMP's threads spin for each other before they sleep. libgomp reads GOMP_SPINCOUNT when it is loaded, and
// its default is some 16 ms on CPUs with a slow pause instruction: on a machine that is shared, each of a step's few
// hundred barriers then waits that long for a thread that has no core. So, unless the user set it or OMP_WAIT_POLICY,
// this sets a spin of a few hundred microseconds, longer than any gap between kernels, and starts the program over,
// once. Returns where that is done or not needed.
void SettleSpinning(char** argv);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_THREADS_H_
