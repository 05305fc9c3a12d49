// Common subexpressions: an op with the same operands and attributes as an earlier one is replaced by it. All ops are
// pure functions of their operands (dropout's mask is one of its key and the scalars), so equal means equal. An op that
// was made to be `recomputed` is not merged with one that was not.
//
//   %a = exp %x;  %b = exp %x;  %c = add %a, %b   ->   %a = exp %x;  %c = add %a, %a
#ifndef GPTC_PASSES_CSE_H_
#define GPTC_PASSES_CSE_H_

#include "passes/pass.h"

namespace gptc {
Status EliminateCommonSubexpressions(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_CSE_H_
