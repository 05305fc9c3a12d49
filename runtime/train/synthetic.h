// Inputs for runs that are only timed: whose values matter as little as their results.
#ifndef GPTC_RUNTIME_TRAIN_SYNTHETIC_H_
#define GPTC_RUNTIME_TRAIN_SYNTHETIC_H_

#include "runtime/exec/executor.h"

namespace gptc {

// Every input of an entry point: ids in range, numbers in [-1, 1); the same for each run.
void FillSyntheticInputs(const plan::PlanT& plan, const BoundEntry& entry);
// What the trainer would write into the scalars of a step, where the plan has them.
void SetSyntheticScalars(Executor& executor);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_SYNTHETIC_H_
