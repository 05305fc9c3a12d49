// Attention written out moves four [B, heads, T, T] tensors through memory in each direction; as one op it moves none
// (Dao et al. 2022). Runs before autodiff, so that the backward is an op of its own.
//
//   %q, %k, %v = split %qkv {axis = 2, parts = 3}
//   %qh = transpose (reshape %q, [B, T, H, D]) {permutation = [0, 2, 1, 3]}           the same for %k, %v
//   %s = mul (matmul %qh, %kh {transpose_b}), c
//   %w = dropout (softmax %s {causal}), scalars
//   %y = reshape (transpose (matmul %w, %vh) {permutation = [0, 2, 1, 3]}), [B, T, C]
//                                                 ->  %y, %lse = flash_attention %qkv, scalars {heads, scale = c,
//                                                 causal, ...}
//
// q, k and v may come from the packed tensor by any reshapes, transposes, splits and slices that leave them side by
// side in it, in this order; heads and sequences may be one axis; constant factors may stand anywhere on the way from q
// and k to the softmax, also as divisions. Masks, added, subtracted or selected, may depend on the positions of query
// and key (causal) and on whether the tokens are of one segment (packed documents); a number of -1e4 or less hides.
//
//   %same = compare (reshape segments, [B, 1, T, 1]), (reshape segments, [B, 1, 1, T]) {direction = "eq"}
//   %t = select %same, %s, -inf                     ->  flash_attention %qkv, scalars, segments {...}
//
// The heads' tensors may have other readers; where the heads are not merged, one copy brings them where they are read.
//
// Left alone, each with a remark that says why: scores or weights with another reader; scores with another mask or
// bias; q, k and v that do not lie side by side; heads of more than 256 elements; dropout over heads that are counted
// as sequences; types without a kernel. A softmax that does not stand between two products is nobody's attention and
// gets no remark.
#ifndef GPTC_PASSES_FUSE_ATTENTION_H_
#define GPTC_PASSES_FUSE_ATTENTION_H_

#include "passes/pass.h"

namespace gptc {
Status FuseAttention(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_ATTENTION_H_
