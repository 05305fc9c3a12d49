#include <cmath>

#include "ir/ops/rules.h"

namespace gptc {
namespace {

// x [..., width]; a weight of x's dtype or f32, [width].
Status RequireRows(const InferContext& c, size_t x, size_t weight) {
  RETURN_IF_ERROR(RequireFloat(c, x));
  RETURN_IF_ERROR(RequireRank(c, x, 1));
  RETURN_IF_ERROR(RequireSameDTypeOrF32(c, weight, x));
  return RequireShape(c, weight, {c.input(x).shape.back()});
}

Status RequireEpsilon(const InferContext& c) {
  double epsilon = c.attributes.Double("epsilon");
  if (epsilon >= 0 && std::isfinite(epsilon)) return OkStatus();
  return InvalidArgument("epsilon is ", ShortestDouble(epsilon), ", it must be 0 or more");
}

Type NormalizedOf(const InferContext& c) {
  return {c.attributes.Bool("narrow") ? DType::kBF16 : c.input(0).dtype, c.input(0).shape};
}

Type StatisticsOf(const Type& x) { return {StatisticsDType(x.dtype), RowsOf(x.shape)}; }

// dy of x's shape and any float type; statistics as the forward op makes them.
InferResult Backward(const InferContext& c, size_t statistics, size_t weight_gradients) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireRows(c, 1, 2));
  RETURN_IF_ERROR(RequireSameShape(c, 0, 1));
  const Type& x = c.input(1);
  for (size_t i = 3; i < 3 + statistics; ++i) {
    RETURN_IF_ERROR(RequireDType(c, i, StatisticsDType(x.dtype)));
    RETURN_IF_ERROR(RequireShape(c, i, RowsOf(x.shape)));
  }
  std::vector<Type> types = {x};
  if (const size_t dsum = 3 + statistics; c.has(dsum)) {
    RETURN_IF_ERROR(RequireDType(c, dsum, x.dtype));
    RETURN_IF_ERROR(RequireSameShape(c, dsum, 1));
  }
  types.resize(1 + weight_gradients, {StatisticsDType(x.dtype), {x.shape.back()}});
  return types;
}

// r beside x, of its type or bf16.
Status RequireResidual(const InferContext& c) {
  RETURN_IF_ERROR(RequireSameShape(c, 1, 0));
  if (c.input(1).dtype == DType::kBF16) return OkStatus();
  return RequireSameDType(c, 1, 0);
}

}  // namespace

InferResult InferLayerNorm(const InferContext& c) {
  RETURN_IF_ERROR(RequireRows(c, 0, 1));
  if (c.has(2)) RETURN_IF_ERROR(RequireRows(c, 0, 2));
  RETURN_IF_ERROR(RequireEpsilon(c));
  Type statistics = StatisticsOf(c.input(0));
  return std::vector<Type>{NormalizedOf(c), statistics, statistics};
}

InferResult InferRmsNorm(const InferContext& c) {
  RETURN_IF_ERROR(RequireRows(c, 0, 1));
  RETURN_IF_ERROR(RequireEpsilon(c));
  return std::vector<Type>{NormalizedOf(c), StatisticsOf(c.input(0))};
}

InferResult InferResidualLayerNorm(const InferContext& c) {
  RETURN_IF_ERROR(RequireRows(c, 0, 2));
  RETURN_IF_ERROR(RequireResidual(c));
  if (c.has(3)) RETURN_IF_ERROR(RequireRows(c, 0, 3));
  RETURN_IF_ERROR(RequireEpsilon(c));
  Type statistics = StatisticsOf(c.input(0));
  return std::vector<Type>{c.input(0), NormalizedOf(c), statistics, statistics};
}

InferResult InferResidualRmsNorm(const InferContext& c) {
  RETURN_IF_ERROR(RequireRows(c, 0, 2));
  RETURN_IF_ERROR(RequireResidual(c));
  RETURN_IF_ERROR(RequireEpsilon(c));
  return std::vector<Type>{c.input(0), NormalizedOf(c), StatisticsOf(c.input(0))};
}

InferResult InferLayerNormBackward(const InferContext& c) { return Backward(c, 2, 2); }
InferResult InferRmsNormBackward(const InferContext& c) { return Backward(c, 1, 1); }

}  // namespace gptc
