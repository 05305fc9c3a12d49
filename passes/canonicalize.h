// One way to write each thing, so that later passes need to know one.
//
//   softmax (causal_mask %x)                            ->  softmax %x {causal}: the mask is never stored
//   reshape (reshape %x), reshape to the same shape     ->  one reshape, none
//   transpose (transpose %x), identity permutation      ->  one transpose, none
//   cast to the type it has; broadcast to the shape it has; slice and pad of nothing; concat or split of one
//   add %x, 0; sub %x, 0; mul %x, 1; div %x, 1          ->  %x, where the scalar is a constant and %x keeps its shape
//   neg (neg %x)                                        ->  %x
//   sum over no axis, copy of a copy                    ->  their operand
#ifndef GPTC_PASSES_CANONICALIZE_H_
#define GPTC_PASSES_CANONICALIZE_H_

#include "passes/pass.h"

namespace gptc {
Status Canonicalize(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_CANONICALIZE_H_
