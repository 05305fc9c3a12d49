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
// Constant factors may stand anywhere on the way from q and k to the softmax, also as divisions; k may be transposed by
// [0, 2, 3, 1] instead; parts may be slices; without dropout or mask it is the same, and one head needs neither reshape
// nor transpose. The heads' tensors may have other readers.
//
// Left alone, each with a remark that says why: scores or weights with another reader; scores with another mask or
// bias; q, k and v that are not the three parts of one tensor; heads of more than 256 elements; types without a kernel.
// A softmax that does not stand between two products is nobody's attention and gets no remark.
#ifndef GPTC_PASSES_FUSE_ATTENTION_H_
#define GPTC_PASSES_FUSE_ATTENTION_H_

#include "passes/pass.h"

namespace gptc {
Status FuseAttention(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_ATTENTION_H_
