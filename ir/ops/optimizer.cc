#include "ir/base/adamw_group.h"
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

InferResult InferAdamWGroup(const InferContext& c) {
  const std::string &decay = c.attributes.Str("decay"), &copies = c.attributes.Str("copies");
  const size_t count = decay.size();
  if (Cat(decay, copies).find_first_not_of("01") != std::string::npos || copies.size() != count) {
    return InvalidArgument("decay and copies must have a 0 or 1 for each parameter: '", decay, "', '", copies, "'");
  }
  if (c.inputs.size() != kAdamWGroupFirst + 4 * count) {
    return InvalidArgument("param, m, v and grad of ", count, " parameters are ", 4 * count, " tensors, not ",
                           c.inputs.size() - kAdamWGroupFirst);
  }
  RETURN_IF_ERROR(RequireDType(c, 0, DType::kF32));
  RETURN_IF_ERROR(RequireShape(c, 0, {}));
  RETURN_IF_ERROR(RequireScalars(c, 1));
  std::vector<Type> results, copied;
  for (const AdamWGroupMember& member : AdamWGroupMembers(c.attributes)) {
    for (const size_t i : {member.param, member.m, member.v, member.grad}) {
      RETURN_IF_ERROR(RequireDType(c, i, DType::kF32));
      RETURN_IF_ERROR(RequireSameShape(c, i, member.param));
    }
    const Type& type = c.input(member.param);
    results.insert(results.end(), 3, type);
    if (member.copy) copied.push_back({DType::kBF16, type.shape});
  }
  results.insert(results.end(), copied.begin(), copied.end());
  return results;
}

}  // namespace gptc
