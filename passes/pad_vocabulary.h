// Rows of the classifier, and with them columns of the logits, become a multiple of 128: tensor cores want it so.
//
//   param wte: f32[50257, 768]                        ->   param wte: f32[50304, 768] rows 50257
//   %l: f32[B, T, 50257] = matmul %x, wte {transpose_b}    %l: f32[B, T, 50304] = matmul %x, wte {transpose_b}
//
// cross_entropy looks at its `classes` alone, so the padding's gradient is 0, and so it stays 0; who else reads the
// logits gets a slice. Outside of the plan the parameter has its own rows. Runs before autodiff, for CUDA targets. Left
// alone: a parameter that anything but such products and embeddings reads.
#ifndef GPTC_PASSES_PAD_VOCABULARY_H_
#define GPTC_PASSES_PAD_VOCABULARY_H_

#include "passes/pass.h"

namespace gptc {
Status PadVocabulary(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_PAD_VOCABULARY_H_
