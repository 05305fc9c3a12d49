#include "ir/ops/rules.h"

namespace gptc {

InferResult InferLinearResidual(const InferContext& c) {
  ASSIGN_OR_RETURN(const Type product, ProductWithWeights(c));
  if (c.has(3)) RETURN_IF_ERROR(RequireBias(c, 3, product));
  RETURN_IF_ERROR(RequireSameDTypeOrF32(c, 2, 0));
  RETURN_IF_ERROR(RequireShape(c, 2, product.shape));
  return std::vector<Type>{c.input(2)};
}

InferResult InferLinearRelu(const InferContext& c) { return InferLinearGelu(c); }

InferResult InferLinearGelu(const InferContext& c) {
  ASSIGN_OR_RETURN(Type product, ProductWithWeights(c));
  if (c.has(2)) RETURN_IF_ERROR(RequireBias(c, 2, product));
  return std::vector<Type>{std::move(product)};
}

InferResult InferLinearGeluSaved(const InferContext& c) {
  ASSIGN_OR_RETURN(std::vector<Type> types, InferLinearGelu(c));
  types.push_back(types[0]);
  return types;
}

InferResult InferLinearGeluBackward(const InferContext& c) {
  ASSIGN_OR_RETURN(Type product, ProductWithWeights(c, /*transposed=*/true));
  RETURN_IF_ERROR(RequireSameDType(c, 2, 0));
  RETURN_IF_ERROR(RequireShape(c, 2, product.shape));
  const Type bias{StatisticsDType(product.dtype), {product.shape.back()}};
  return std::vector<Type>{std::move(product), bias};
}

InferResult InferLinearWeightGradient(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireSameDType(c, 1, 0));
  const Shape &x = c.input(0).shape, &dy = c.input(1).shape;
  if (x.size() != 2 || dy.size() != 2 || x[0] != dy[0]) {
    return InvalidArgument("x and dy must be matrices of as many rows: ", c.Describe(0), ", ", c.Describe(1));
  }
  const DType dtype = StatisticsDType(c.input(0).dtype);
  const Type dw{dtype, {x[1], dy[1]}};
  if (c.has(2)) {
    RETURN_IF_ERROR(RequireDType(c, 2, dtype));
    RETURN_IF_ERROR(RequireShape(c, 2, dw.shape));
  }
  return std::vector<Type>{dw, {dtype, {dy[1]}}};
}

}  // namespace gptc
