// The loss and its gradient read the logits, the largest tensor of a small model's training step, once instead of
// twice: a row's softmax is still in the cache when its gradient is written over it.
//
//   %losses, %lse = cross_entropy %logits, targets;  ...
//   %dlogits = cross_entropy_backward %logits, targets, %lse, %dlosses
//                                    ->  %losses, %dlogits = cross_entropy_gradient %logits, targets, %dlosses
//
// Runs after autodiff. What %dlosses is made of (a broadcast of loss_scale) moves before the new op.
//
// Left alone, each with a remark that says why: %lse with another reader; a backward of other logits, targets or
// classes; %dlosses that depends on the losses. A cross_entropy without a backward gets no remark.
#ifndef GPTC_PASSES_FUSE_CROSS_ENTROPY_H_
#define GPTC_PASSES_FUSE_CROSS_ENTROPY_H_

#include "passes/pass.h"

namespace gptc {
Status FuseCrossEntropy(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_CROSS_ENTROPY_H_
