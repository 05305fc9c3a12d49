// Gradient of the cross-entropy: softmax minus one-hot, scaled by the rows' cotangents; the softmax comes from the
// saved lse.
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpCrossEntropy(const VjpContext& c) {
  const Tensor dlogits =
      c.g.EmitOne(Op::kCrossEntropyBackward, {c.input(0), c.input(1), c.result(1), c.dy()}, c.attributes);
  return {dlogits, {}};
}

}  // namespace gptc
