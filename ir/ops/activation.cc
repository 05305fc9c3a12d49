#include "ir/ops/rules.h"

namespace gptc {
namespace {
InferResult LikeInput(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  return std::vector<Type>{c.input(0)};
}
}  // namespace

InferResult InferGelu(const InferContext& c) { return LikeInput(c); }
InferResult InferRelu(const InferContext& c) { return LikeInput(c); }
InferResult InferSigmoid(const InferContext& c) { return LikeInput(c); }
InferResult InferSilu(const InferContext& c) { return LikeInput(c); }

InferResult InferGeluBackward(const InferContext& c) {
  RETURN_IF_ERROR(RequireSameDType(c, 1, 0));
  RETURN_IF_ERROR(RequireSameShape(c, 1, 0));
  return LikeInput(c);
}

}  // namespace gptc
