#include "ir/ops/rules.h"

namespace gptc {

InferResult InferLinearResidual(const InferContext& c) {
  ASSIGN_OR_RETURN(const Type product, ProductWithWeights(c));
  if (c.has(3)) RETURN_IF_ERROR(RequireBias(c, 3, product));
  RETURN_IF_ERROR(RequireSameDTypeOrF32(c, 2, 0));
  RETURN_IF_ERROR(RequireShape(c, 2, product.shape));
  return std::vector<Type>{c.input(2)};
}

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

}  // namespace gptc
