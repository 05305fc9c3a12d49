// Gradients of the ops that move elements: each is its transpose.
#include "autodiff/rules/unbroadcast.h"
#include "autodiff/vjp.h"

namespace gptc {

Cotangents VjpReshape(const VjpContext& c) { return {c.g.Reshape(c.dy(), c.input(0).shape())}; }

Cotangents VjpBroadcast(const VjpContext& c) { return {Unbroadcast(c.g, c.dy(), c.input(0).shape())}; }

Cotangents VjpTranspose(const VjpContext& c) {
  const std::vector<int64_t>& permutation = c.attributes.Ints("permutation");
  std::vector<int64_t> inverse(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i) inverse[permutation[i]] = static_cast<int64_t>(i);
  return {c.g.Transpose(c.dy(), inverse)};
}

Cotangents VjpSlice(const VjpContext& c) {
  const Shape whole = c.input(0).shape();
  const int64_t axis = c.attributes.Int("axis");
  const int64_t start = c.attributes.Int("start");
  const int64_t after = whole[axis] - start - c.result().shape()[axis];
  return {c.g.Pad(c.dy(), axis, start, after)};
}

Cotangents VjpPad(const VjpContext& c) {
  const Shape inner = c.input(0).shape();
  const int64_t axis = c.attributes.Int("axis");
  return {c.g.Slice(c.dy(), axis, c.attributes.Int("low"), inner[axis])};
}

// Parts that nothing reads give zeros.
Cotangents VjpSplit(const VjpContext& c) {
  std::vector<Tensor> parts = c.dresults;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Type type = c.result(i).type();
    if (!parts[i].valid()) parts[i] = c.g.Constant(0, type.dtype, type.shape);
  }
  return {c.g.Concat(parts, c.attributes.Int("axis"))};
}

Cotangents VjpConcat(const VjpContext& c) {
  const int64_t axis = c.attributes.Int("axis");
  Cotangents slices;
  int64_t start = 0;
  for (const Tensor& part : c.inputs) {
    const int64_t size = part.shape()[axis];
    slices.push_back(c.g.Slice(c.dy(), axis, start, size));
    start += size;
  }
  return slices;
}

}  // namespace gptc
