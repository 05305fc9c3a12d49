#ifndef GPTC_FRONTENDS_COMMON_THREAD_COUNT_H_
#define GPTC_FRONTENDS_COMMON_THREAD_COUNT_H_

#include <cstdint>

namespace gptc {

// How many threads gptrun takes on this machine where it is not told by --threads: GPTC_THREADS, OMP_NUM_THREADS, else
// the cores that this process may run on. What a plan takes beyond states and arena depends on it.
int64_t ThreadCountHere();

}  // namespace gptc

#endif  // GPTC_FRONTENDS_COMMON_THREAD_COUNT_H_
