// Rematerialisation under a memory budget (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). What the
// forward leaves for the backward is held over the whole step; where that does not fit the budget, the cheapest of it
// is not held but computed again, by clones just before the backward's first reader.
//
//   %g = gelu %u                                 %g = gelu %u
//   %y = linear %g, w                            %y = linear %g, w
//   ...                                     ->   ...
//   %dw = matmul %g, %dy {transpose_a}           %g.again = gelu %u recomputed
//                                                %dw = matmul %g.again, %dy {transpose_a}
//
// The order of choice is by nominal seconds for each byte no longer held: elementwise ops and norms come first, then
// attention and products, in the end all of a block but its input. Of the values through which everything passes (the
// residual stream) no two in a row are given up, so that what is computed again at one time stays within two sublayers.
// As many ops as needed are chosen, in that order, and the rest of the pipeline tells what the plan then takes.
//
// A clone computes the same bits. Left alone: modules without micro_step, anything where the budget is met or none is
// given, values that live where the peak is even if they are computed again (logits). Where no choice meets the budget
// the one that takes least is left, with a remark; whoever gave the budget compares.
#ifndef GPTC_PASSES_RECOMPUTE_H_
#define GPTC_PASSES_RECOMPUTE_H_

#include "passes/pass.h"

namespace gptc {
Status Recompute(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_RECOMPUTE_H_
