// From the graph of a loss to the graphs of training.
//
//   train(tokens, targets) -> (loss, count)        the sum of the token losses, a float scalar, and the number of valid
//   tokens
// becomes
//   micro_step(tokens, targets) -> (loss, count)   forward and backward; grad.p = add(grad.p, gradient of loss ·
//   loss_scale) update() -> (norm)                             AdamW on all parameters; the global norm of the mean
//   gradient, before clipping prepare()                                      empty: passes that keep derived copies of
//   parameters fill it
//
// and the module gains the states they need: for every parameter p that the loss depends on `grad.p` (gradient), `m.p`
// and `v.p` (optimizer), all f32 of p's shape and zero at first; and the run-time scalars (ir/base/scalars.h).
//
// Gradients are sums over tokens, scaled by loss_scale: accumulation over micro-batches, ranks and ignored targets need
// no special case, and `update` divides once. The `add` into grad.p follows at once on the op that makes the gradient,
// so that it need not live to the graph's end; a later pass makes clones that overwrite instead.
#ifndef GPTC_AUTODIFF_TRAINING_H_
#define GPTC_AUTODIFF_TRAINING_H_

#include <string>
#include <vector>

#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

// Returns remarks for `gptc explain`: the parameters that do not reach the loss, which get no optimizer state and are
// not trained. REQUIRES: dimensions are bound (an error otherwise). The other graphs stay as they are; on an error the
// whole module does. Errors: no `train` graph or not of that form, no parameter that reaches the loss, a graph or state
// of a name needed here that is there already, and those of AppendBackward.
StatusOr<std::vector<std::string>> BuildTraining(Module& module);

}  // namespace gptc

#endif  // GPTC_AUTODIFF_TRAINING_H_
