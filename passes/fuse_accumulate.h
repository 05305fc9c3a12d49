// An addition to a product becomes part of it: GEMMs and the embedding's scatter can add to what their memory already
// holds, so that a gradient is written once, and the two gradients of tied embeddings meet in one buffer.
//
//   %d = matmul %a, %b;  %s = add %g, %d                         ->  %s = matmul %a, %b, %g
//   %d, %db = linear_weight_gradient %x, %dy; %s = add %g, %d    ->  %s, %db = linear_weight_gradient %x, %dy, %g
//   %e = embedding_backward %ids, %y;  %s = add %d, %e           ->  %s = embedding_backward %ids, %y, %d
//
// Left alone: a product with another reader, one of another type than the sum, and an addend that is made later than
// the product (unless it is the only way, each would have to move).
#ifndef GPTC_PASSES_FUSE_ACCUMULATE_H_
#define GPTC_PASSES_FUSE_ACCUMULATE_H_

#include "passes/pass.h"

namespace gptc {
Status FuseAccumulate(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_ACCUMULATE_H_
