// Weights in the layout that their products read fastest (ir/base/packing.h), made once an update instead of at every
// product.
//
//   %y = linear %x, w, b                  ->   %y = linear %x, packed.w, b {columns = out}
//   %d = matmul %dy, w {transpose_b}      ->   %d = linear %dy, packed.w.t {columns = in}
//
// and the like for the fused linear layers; `packed.w` and `packed.w.t` are derived states, written by `prepare` and at
// the end of `update`. A bf16 copy of w that only products read is packed in place of it.
//
// Done for targets with AVX-512 and products of 16 rows or more. In bf16 a packed copy is as large as the plain one. In
// f32 it is extra memory, so it must be small beside what the product reads and writes anyway: in · out <= rows · (in +
// out) / 4. Once a weight is packed, products of few rows (decoding) read it too. Left alone: weights that are not
// states; products inside `prepare` and `update`.
#ifndef GPTC_PASSES_PACK_WEIGHTS_H_
#define GPTC_PASSES_PACK_WEIGHTS_H_

#include "passes/pass.h"

namespace gptc {
Status PackWeights(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_PACK_WEIGHTS_H_
