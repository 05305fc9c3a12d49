// A linear layer takes what follows it into its own pass over memory: the residual addition, ReLU or GELU, and in the
// backward GELU's derivative with the bias gradient.
//
//   %t = linear %x, w, b;  %s = add %r, %t                       ->   %s = linear_residual %x, w, %r, b
//   %u = linear %x, w, b;  %y = relu %u                          ->   %y = linear_relu %x, w, b
//   %u = linear %x, w, b;  %y = gelu %u                          ->   %y = linear_gelu %x, w, b
//     the same, %u read elsewhere too                            ->   %y, %u = linear_gelu_saved %x, w, b
//   %d = matmul %dy, w {transpose_b};  %du = gelu_backward %u, %d;
//   %db = sum %du {axes: all but the last}                       ->   %du, %db = linear_gelu_backward %dy, w, %u
//
// Runs after autodiff and after the types are final. Left alone: products that another op reads as well; a sum of other
// shapes or with a dropout between (the addition is then fuse_elementwise's); a bias gradient of another type than f32.
#ifndef GPTC_PASSES_FUSE_LINEAR_H_
#define GPTC_PASSES_FUSE_LINEAR_H_

#include "passes/pass.h"

namespace gptc {
Status FuseLinear(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_LINEAR_H_
