// Logits with rows of a multiple of 128 elements: rows of 50,257 bf16 begin at odd multiples of two bytes, where
// neither a GPU's matrix units nor its 16-byte accesses reach them. The vocabulary is padded inside the plan only.
//
//   param wte: f32[50257, 768]                      ->  param wte: f32[50304, 768] rows 50257
//   %x = embedding wte, tokens                      ->  as it is
//   %y = matmul %h, wte {transpose_b}               ->  %y: f32[.., 50304] = matmul %h, wte {transpose_b}
//   %loss, … = cross_entropy %y, … {classes}        ->  as it is: it looks at the classes alone
//   return logits = %y                              ->  %z = slice %y {axis, size = 50257};  return logits = %z
//
// Done for CUDA targets, to a parameter [V, C] that is the transposed right operand of the product whose rows
// cross_entropy reads. The rows that are added are zeros and stay so: their gradients are exactly 0, and AdamW leaves
// zeros with such gradients alone. State::logical_rows keeps them out of initialization, files and checkpoints. Other
// readers, of the parameter and of logits, read slices.
//
// Stands before autodiff, whose gradients and optimizer states take the padded shape. Left alone: a parameter that a
// graph stores or that other states belong to already; a classifier that lies as [C, V].
#ifndef GPTC_PASSES_PAD_VOCABULARY_H_
#define GPTC_PASSES_PAD_VOCABULARY_H_

#include "passes/pass.h"

namespace gptc {
Status PadVocabulary(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_PAD_VOCABULARY_H_
