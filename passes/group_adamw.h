// AdamW of all parameters in one launch, with their bf16 copies: most parameters are so small that a launch of their
// own is all that they cost, and a cast would read each new parameter again.
//
//   %a, %ma, %va = adamw a, grad.a, m.a, v.a, %norm, scalars {decay = true}
//   %a.bf16 = cast %a {to = bf16}
//   %b, %mb, %vb = adamw b, grad.b, m.b, v.b, %norm, scalars {decay = false}
//     ->
//   %a, %ma, %va, %b, %mb, %vb, %a.bf16 =
//       adamw_group %norm, scalars, a, m.a, v.a, b, m.b, v.b, grad.a, grad.b {copies = "10", decay = "10"}
//
// Done for CUDA targets, to the adamw of one norm. They stand where the first of them stood. Left alone: one with an
// operand that is made later than that, and one that is alone and has no copy.
#ifndef GPTC_PASSES_GROUP_ADAMW_H_
#define GPTC_PASSES_GROUP_ADAMW_H_

#include "passes/pass.h"

namespace gptc {
Status GroupAdamW(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_GROUP_ADAMW_H_
