#include "ir/ops/rules.h"

namespace gptc {
namespace {

InferResult Reduced(const InferContext& c, DType dtype) {
  const std::vector<int64_t>& axes = c.attributes.Ints("axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    RETURN_IF_ERROR(RequireAxis(c, 0, axes[i]));
    if (i > 0 && axes[i] <= axes[i - 1]) {
      return InvalidArgument("axes must ascend, each once, not [", Join(axes, ", "), "]");
    }
  }
  Type type{dtype, {}};
  size_t next = 0;
  for (size_t axis = 0; axis < c.input(0).shape.size(); ++axis) {
    if (next < axes.size() && axes[next] == static_cast<int64_t>(axis)) {
      ++next;
      if (c.attributes.Bool("keep")) type.shape.push_back(1);
    } else {
      type.shape.push_back(c.input(0).shape[axis]);
    }
  }
  return std::vector<Type>{std::move(type)};
}

}  // namespace

InferResult InferSum(const InferContext& c) {
  const bool widen = c.attributes.Bool("widen");
  RETURN_IF_ERROR(widen ? RequireFloat(c, 0) : RequireNumber(c, 0));
  return Reduced(c, WidenedDType(c));
}
InferResult InferMean(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  return Reduced(c, c.input(0).dtype);
}
InferResult InferReduceMax(const InferContext& c) {
  RETURN_IF_ERROR(RequireNumber(c, 0));
  return Reduced(c, c.input(0).dtype);
}

}  // namespace gptc
