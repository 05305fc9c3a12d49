#include "ir/ops/rules.h"

namespace gptc {

InferResult InferEmbedding(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireDType(c, 1, DType::kI32));
  if (c.input(0).shape.size() != 2) {
    return InvalidArgument("table must have the two axes [rows, width]: ", c.Describe(0));
  }
  Type type{c.input(0).dtype, c.input(1).shape};
  type.shape.push_back(c.input(0).shape[1]);
  return std::vector<Type>{std::move(type)};
}

InferResult InferEmbeddingBackward(const InferContext& c) {
  RETURN_IF_ERROR(RequireDType(c, 0, DType::kI32));
  RETURN_IF_ERROR(RequireFloat(c, 1));
  RETURN_IF_ERROR(RequireRank(c, 1, 1));
  const Type& dy = c.input(1);
  if (RowsOf(dy.shape) != c.input(0).shape) {
    return InvalidArgument("dy must have one row an id: ", c.Describe(0), ", ", c.Describe(1));
  }
  int64_t rows = c.attributes.Int("rows");
  if (rows < 1) return InvalidArgument("rows is ", rows, ", it must be 1 or more");
  Type type{StatisticsDType(dy.dtype), {rows, dy.shape.back()}};
  if (c.has(2)) {
    RETURN_IF_ERROR(RequireDType(c, 2, type.dtype));
    RETURN_IF_ERROR(RequireShape(c, 2, type.shape));
  }
  return std::vector<Type>{std::move(type)};
}

}  // namespace gptc
