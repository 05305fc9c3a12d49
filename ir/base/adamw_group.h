// Where the operands and results of adamw_group stand (ops.def).
#ifndef GPTC_IR_BASE_ADAMW_GROUP_H_
#define GPTC_IR_BASE_ADAMW_GROUP_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ir/base/attributes.h"

namespace gptc {

inline constexpr size_t kAdamWGroupFirst = 2;  // of the tensors among the operands: norm and scalars come before

// One parameter's.
struct AdamWGroupMember {
  size_t param = 0, m = 0, v = 0, grad = 0;    // among the operands
  size_t new_param = 0, new_m = 0, new_v = 0;  // among the results
  std::optional<size_t> copy;                  // the bf16 copy of the new parameter, among the results
  bool decay = false;
};

// REQUIRES: `decay` and `copies` are as long as each other.
inline std::vector<AdamWGroupMember> AdamWGroupMembers(const Attributes& attributes) {
  const std::string &decay = attributes.Str("decay"), &copies = attributes.Str("copies");
  const size_t count = decay.size();
  size_t copy = 3 * count;
  std::vector<AdamWGroupMember> members;
  for (size_t k = 0; k < count; ++k) {
    const size_t param = kAdamWGroupFirst + 3 * k;
    members.push_back({.param = param,
                       .m = param + 1,
                       .v = param + 2,
                       .grad = kAdamWGroupFirst + 3 * count + k,
                       .new_param = 3 * k,
                       .new_m = 3 * k + 1,
                       .new_v = 3 * k + 2,
                       .copy = std::nullopt,
                       .decay = decay[k] == '1'});
    if (copies[k] == '1') members.back().copy = copy++;
  }
  return members;
}

}  // namespace gptc

#endif  // GPTC_IR_BASE_ADAMW_GROUP_H_
