// Initial values of the parameters by their rules.
#ifndef GPTC_RUNTIME_TRAIN_INITIALIZE_H_
#define GPTC_RUNTIME_TRAIN_INITIALIZE_H_

#include <cstdint>

#include "runtime/exec/executor.h"

namespace gptc {

// Sets every parameter from its rule, padded rows to 0, and leaves all other states as they are (an executor's start at
// 0). A normal value depends on (seed, the parameter's name, the element) alone (runtime/cpu/normal.h). REQUIRES:
// parameters are f32.
Status InitializeParameters(Executor& executor, uint64_t seed);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_INITIALIZE_H_
