// Replaces `micro_step` by its four clones. `first` and `only` overwrite the gradients: there `store grad.p = add
// grad.p, %d` becomes `store grad.p = %d`, so that nothing has to clear them. `middle` and `last` add. Collectives,
// which only `last` and `only` hold, are placed by their own pass before this one.
//
// The last pass before accumulation and scheduling: whatever comes earlier sees one micro-step, not four.
#ifndef GPTC_PASSES_SPECIALIZE_MICRO_STEPS_H_
#define GPTC_PASSES_SPECIALIZE_MICRO_STEPS_H_

#include "passes/pass.h"

namespace gptc {
Status SpecializeMicroSteps(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_SPECIALIZE_MICRO_STEPS_H_
