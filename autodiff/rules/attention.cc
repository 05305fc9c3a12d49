// Gradients of the attention ops.
#include "autodiff/rules/unbroadcast.h"
#include "autodiff/vjp.h"

namespace gptc {

// dy where the mask keeps x, else 0. The mask of zeros is 0 where it keeps and -inf elsewhere, and small: [rows,
// columns].
Cotangents VjpCausalMask(const VjpContext& c) {
  const Type type = c.input(0).type();
  const Shape matrix(type.shape.end() - 2, type.shape.end());
  const Tensor mask = c.g.CausalMask(c.g.Constant(0, type.dtype, matrix));
  const Tensor kept = c.g.Compare(mask, c.g.Constant(0, type.dtype), "eq");
  return {c.g.Select(kept, c.dy(), ScalarLike(c.g, c.dy(), 0))};
}

Cotangents VjpSoftmax(const VjpContext& c) {
  return {c.g.EmitOne(Op::kSoftmaxBackward, {c.result(), c.dy()}, {{"causal", c.attributes.Bool("causal")}})};
}

// The weights are computed anew from q, k and the saved logarithms of their sums.
Cotangents VjpFlashAttention(const VjpContext& c) {
  std::vector<Tensor> operands = {c.dy(), c.input(0), c.result(0), c.result(1)};
  for (size_t i = 1; i < c.inputs.size(); ++i) operands.push_back(c.input(i));  // scalars, segments
  Cotangents cotangents = {c.g.EmitOne(Op::kFlashAttentionBackward, std::move(operands), c.attributes)};
  cotangents.resize(c.inputs.size());
  return cotangents;
}

}  // namespace gptc
