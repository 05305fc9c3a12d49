// Values for the inputs and states of any graph, for tests that evaluate graphs before and after they were rewritten.
#ifndef GPTC_PASSES_TESTING_RANDOM_VALUES_H_
#define GPTC_PASSES_TESTING_RANDOM_VALUES_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "ir/reference.h"

namespace gptc {

// The value that (seed, name, type) stand for, rounded to its type: floats N(0, 1), integers 0 or 1 (so that they serve
// as ids, positions and targets of any table of two rows), the run-time scalars those of a middling step.
HostTensor RandomTensor(uint64_t seed, std::string_view name, const Type& type);

// One a state of the module, by its name; moments (kOptimizer) are not negative.
StateMap RandomStates(const Module& module, uint64_t seed);

// Of the graph's inputs, in order.
std::vector<HostTensor> RandomInputs(const Graph& graph, uint64_t seed);

}  // namespace gptc

#endif  // GPTC_PASSES_TESTING_RANDOM_VALUES_H_
