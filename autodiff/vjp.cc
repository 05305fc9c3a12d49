#include "autodiff/vjp.h"

namespace gptc {

VjpRule VjpRuleOf(Op op) {
#define OP_kVjp(symbol) Vjp##symbol
#define OP_kNone(symbol) nullptr
#define OP(symbol, name, inputs, results, attributes, gradient, ...) OP_##gradient(symbol),
  static constexpr VjpRule kRules[kOpCount] = {
#include "ir/base/ops.def"
  };
#undef OP
#undef OP_kVjp
#undef OP_kNone
  return kRules[static_cast<int>(op)];
}

}  // namespace gptc
