#include "ir/ops/rules.h"

namespace gptc {

InferResult InferGlobalNorm(const InferContext& c) {
  for (size_t i = 0; i < c.inputs.size(); ++i) RETURN_IF_ERROR(RequireFloat(c, i));
  return std::vector<Type>{{DType::kF32, {}}};
}

InferResult InferAdamW(const InferContext& c) {
  for (size_t i = 0; i < 5; ++i) RETURN_IF_ERROR(RequireDType(c, i, DType::kF32));
  for (size_t i = 1; i < 4; ++i) RETURN_IF_ERROR(RequireSameShape(c, i, 0));
  RETURN_IF_ERROR(RequireShape(c, 4, {}));
  RETURN_IF_ERROR(RequireScalars(c, 5));
  return std::vector<Type>(3, c.input(0));
}

}  // namespace gptc
