// Drops every op none of whose results is read by a kept op, an output or a store. All ops are pure, so nothing else
// counts.
//
//   %a = exp %x;  %b = neg %x;  return %b   ->   %b = neg %x;  return %b
#ifndef GPTC_PASSES_DCE_H_
#define GPTC_PASSES_DCE_H_

#include "passes/pass.h"

namespace gptc {
Status EliminateDeadCode(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_DCE_H_
