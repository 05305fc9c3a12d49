// Gradients of the normalizations: backward ops of their own, which read the statistics that the forward op left.
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpLayerNorm(const VjpContext& c) {
  Cotangents cotangents = c.g.Emit(Op::kLayerNormBackward,
                                   {c.dy(), c.input(0), c.input(1), c.result(1), c.result(2)});  // dx, dweight, dbias
  if (!c.has(2)) cotangents.pop_back();
  return cotangents;
}

Cotangents VjpRmsNorm(const VjpContext& c) {
  return c.g.Emit(Op::kRmsNormBackward, {c.dy(), c.input(0), c.input(1), c.result(1)});  // dx, dweight
}

}  // namespace gptc
