// Under `--loss-chunk ROWS` the logits, [tokens, vocabulary], never exist whole: classifier, loss and the products of
// their gradient run on so many rows at a time, in memory that each chunk takes over from the one before.
//
//   %logits = matmul %x, w {transpose_b}                     %x0 = slice %x;  %l0 = matmul %x0, w {transpose_b}
//   %losses, %d = cross_entropy_gradient %logits, ...        %s0, %d0 = cross_entropy_gradient %l0, ...
//   %dx = matmul %d, w                                  ->   %dx0 = matmul %d0, w
//   %dw = matmul %d, %x {transpose_a}                        %dw0 = matmul %d0, %x0 {transpose_a}
//                                                            ... %dw1 = matmul %d1, %x1, %dw0 {transpose_a} ...
//                                                            %losses = concat %s0, ...;  %dx = concat %dx0, ...
//
// The classifier may be a linear with a bias, whose gradient is a sum over rows; for a plain cross_entropy (scoring)
// losses alone are made. Costs a product of fewer rows at a time, and copies of x and dx.
//
// Left alone, with a remark: logits with another reader or not made by a product with one matrix; gradients of the
// logits that are read by something else than such products and sums.
#ifndef GPTC_PASSES_CHUNK_LOGITS_H_
#define GPTC_PASSES_CHUNK_LOGITS_H_

#include "passes/pass.h"

namespace gptc {
Status ChunkLogits(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_CHUNK_LOGITS_H_
