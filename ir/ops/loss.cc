#include "ir/ops/rules.h"

namespace gptc {
namespace {

Status RequireLogitsAndTargets(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireRank(c, 0, 1));
  RETURN_IF_ERROR(RequireDType(c, 1, DType::kI32));
  if (RowsOf(c.input(0).shape) != c.input(1).shape) {
    return InvalidArgument("logits must have one row a target: ", c.Describe(0), ", ", c.Describe(1));
  }
  int64_t classes = c.attributes.Int("classes"), columns = c.input(0).shape.back();
  if (classes < 1 || (!IsSymbol(columns) && classes > columns)) {
    return InvalidArgument("classes is ", classes, ", it must be in 1..", DimText(columns, c.symbols), ": ",
                           c.Describe(0));
  }
  return OkStatus();
}

}  // namespace

InferResult InferCrossEntropy(const InferContext& c) {
  RETURN_IF_ERROR(RequireLogitsAndTargets(c));
  Type losses{StatisticsDType(c.input(0).dtype), c.input(1).shape};
  return std::vector<Type>{losses, losses};
}

InferResult InferCrossEntropyBackward(const InferContext& c) {
  RETURN_IF_ERROR(RequireLogitsAndTargets(c));
  for (size_t i : {2, 3}) {
    RETURN_IF_ERROR(RequireDType(c, i, StatisticsDType(c.input(0).dtype)));
    RETURN_IF_ERROR(RequireShape(c, i, c.input(1).shape));
  }
  return std::vector<Type>{c.input(0)};
}

InferResult InferCrossEntropyGradient(const InferContext& c) {
  RETURN_IF_ERROR(RequireLogitsAndTargets(c));
  RETURN_IF_ERROR(RequireDType(c, 2, StatisticsDType(c.input(0).dtype)));
  RETURN_IF_ERROR(RequireShape(c, 2, c.input(1).shape));
  return std::vector<Type>{c.input(2), c.input(0)};
}

}  // namespace gptc
