#include "ir/ops/rules.h"

namespace gptc {

InferResult InferDropout(const InferContext& c) {
  RETURN_IF_ERROR(RequireFloat(c, 0));
  RETURN_IF_ERROR(RequireRank(c, 0, 1));
  RETURN_IF_ERROR(RequireScalars(c, 1));
  double rate = c.attributes.Double("rate");
  if (!(rate >= 0 && rate < 1)) return InvalidArgument("rate is ", ShortestDouble(rate), ", it must be in [0, 1)");
  if (c.attributes.Int("key") < 0) return InvalidArgument("key must be 0 or more");
  return std::vector<Type>{c.input(0)};
}

}  // namespace gptc
