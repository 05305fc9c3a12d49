// Gradients of the activations.
#include "autodiff/rules/unbroadcast.h"
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpGelu(const VjpContext& c) { return {c.g.GeluBackward(c.input(0), c.dy(), c.attributes.Bool("tanh"))}; }

// 0 at 0. Reads y, not x: y > 0 just where x > 0, and y is what the next op keeps alive anyway.
Cotangents VjpRelu(const VjpContext& c) {
  const Tensor positive = c.g.Compare(c.result(), ScalarLike(c.g, c.result(), 0), "gt");
  return {c.g.Select(positive, c.dy(), ScalarLike(c.g, c.dy(), 0))};
}

Cotangents VjpSigmoid(const VjpContext& c) {
  const Tensor y = c.result();
  return {c.dy() * (y * (1.0 - y))};
}

// y = x·s with s = sigmoid(x), so y' = s + x·s·(1 - s) = s + y·(1 - s).
Cotangents VjpSilu(const VjpContext& c) {
  const Tensor s = c.g.Sigmoid(c.input(0));
  return {c.dy() * (s + c.result() * (1.0 - s))};
}

}  // namespace gptc
