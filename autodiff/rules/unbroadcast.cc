#include "autodiff/rules/unbroadcast.h"

#include <utility>

namespace gptc {
namespace {

Tensor Reshaped(GraphBuilder& g, Tensor x, Shape shape) {
  return !x.valid() || x.shape() == shape ? x : g.Reshape(x, std::move(shape));
}

}  // namespace

Tensor Unbroadcast(GraphBuilder& g, Tensor dy, Shape shape) {
  if (!dy.valid() || dy.shape() == shape) return dy;
  const Shape wide = dy.shape();
  const size_t added = wide.size() - shape.size();
  std::vector<int64_t> axes;
  for (size_t i = 0; i < wide.size(); ++i) {
    if (wide[i] != 1 && (i < added || shape[i - added] == 1)) axes.push_back(static_cast<int64_t>(i));
  }
  if (!axes.empty()) dy = g.Sum(dy, axes);
  return Reshaped(g, dy, std::move(shape));
}

Tensor KeepReducedAxes(GraphBuilder& g, Tensor dy, Shape shape, const std::vector<int64_t>& axes) {
  for (const int64_t axis : axes) shape[axis] = 1;
  return Reshaped(g, dy, std::move(shape));
}

Tensor ScalarLike(GraphBuilder& g, Tensor x, double value) {
  return x.valid() ? g.Constant(value, x.type().dtype) : Tensor{};
}

}  // namespace gptc
