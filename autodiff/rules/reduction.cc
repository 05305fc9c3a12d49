// Gradients of the reductions.
#include <algorithm>

#include "autodiff/rules/unbroadcast.h"
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpSum(const VjpContext& c) {
  const Type x = c.input(0).type();
  const Tensor dy = c.dy().type().dtype == x.dtype ? c.dy() : c.g.Cast(c.dy(), x.dtype);  // it was widened
  return {c.g.Broadcast(KeepReducedAxes(c.g, dy, x.shape, c.attributes.Ints("axes")), x.shape)};
}

Cotangents VjpMean(const VjpContext& c) {
  const Shape shape = c.input(0).shape();
  int64_t count = 1;
  for (const int64_t axis : c.attributes.Ints("axes")) count *= shape[axis];
  // Scaled before it is broadcast: the smaller tensor.
  const Tensor scaled = c.dy() * (1.0 / static_cast<double>(std::max<int64_t>(count, 1)));
  return {c.g.Broadcast(KeepReducedAxes(c.g, scaled, shape, c.attributes.Ints("axes")), shape)};
}

// Elements that tie for the maximum share the gradient equally.
Cotangents VjpReduceMax(const VjpContext& c) {
  const Tensor x = c.input(0);
  const std::vector<int64_t>& axes = c.attributes.Ints("axes");
  const Tensor is_max = c.g.Compare(x, KeepReducedAxes(c.g, c.result(), x.shape(), axes), "eq");
  const Tensor ties = c.g.Sum(c.g.Cast(is_max, x.type().dtype), axes, /*keep=*/true);
  const Tensor share = KeepReducedAxes(c.g, c.dy(), x.shape(), axes) / ties;
  return {c.g.Select(is_max, share, ScalarLike(c.g, share, 0))};
}

}  // namespace gptc
