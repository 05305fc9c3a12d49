// The residual stream passes through memory once less in each direction: the addition to it becomes part of the
// normalization that reads the sum, and in the backward the gradient that comes along the stream is added by the
// normalization's gradient.
//
//   %s = add %x, %r;  %y, %m, %d = layer_norm %s, w, b       ->  %s, %y, %m, %d = residual_layer_norm %x, %r, w, b
//   %g, ... = layer_norm_backward %dy, %s, w, %m, %d
//   %t = add %g, %u                                          ->  %t, ... = layer_norm_backward %dy, %s, w, %m, %d, %u
//
// The same for rms_norm. A cast of r from bf16 goes along. Runs after autodiff, which knows the two ops
// apart. Dropout of r stays an op of its own.
//
// Left alone, with a remark: a sum that broadcasts; a norm that does not follow its sum at once (y would live from
// earlier); a gradient of the norm with another reader, or one to which something is added that is made later.
// Additions to gradients, silently: specialize_micro_steps wants them as they are.
#ifndef GPTC_PASSES_FUSE_RESIDUAL_NORM_H_
#define GPTC_PASSES_FUSE_RESIDUAL_NORM_H_

#include "passes/pass.h"

namespace gptc {
Status FuseResidualNorm(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_RESIDUAL_NORM_H_
