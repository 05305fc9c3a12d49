// The gradients of a linear layer's weight and bias both read all of dy; one op gives both, so that its product can sum
// the columns of what it reads anyhow.
//
//   %dw = matmul %x, %dy {transpose_a};  %db = sum %dy {axes: 0}  ->  %dw, %db = linear_weight_gradient %x, %dy
//
// For CUDA targets, whose library has products with such an epilogue; elsewhere the sum is a pass over memory either
// way. The sum may be over all axes but the last of dy before a reshape to rows. Left alone: gradients of other types
// than f32, of x and dy of other types than f32 and bf16; a bias gradient that is read before the product; a product
// with more than two operands; a second product of the same dy.
#ifndef GPTC_PASSES_FUSE_BIAS_GRADIENT_H_
#define GPTC_PASSES_FUSE_BIAS_GRADIENT_H_

#include "passes/pass.h"

namespace gptc {
Status FuseBiasGradient(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_BIAS_GRADIENT_H_
