// Products in bf16, with f32 master weights, f32 sums, and f32 wherever bf16 would cost accuracy (Micikevicius et al.
// 2018; Kalamkar et al. 2019). Does nothing where PassOptions.compute is f32.
//
//   %y, … = layer_norm %x, g, b             ->   %y: bf16, … = layer_norm %x, g, b {narrow}
//   %h = linear %y, w, c                    ->   %h: bf16 = linear %y, bf16.w, c
//   %a = gelu %h                            ->   %a: bf16 = gelu %h
//   %r = add %x, (linear %a, v, d)          ->   %r: f32 = add %x, (linear %a, bf16.v, d {widen})
//   %dw = matmul %y, %dh {transpose_a}      ->   %dw: f32 = matmul %y, %dh {transpose_a, widen}
//
// What each op takes is one row of the table in mixed_precision.cc:
//   bf16       products: matmul, linear, attention and the cache of its keys and values; sums inside are f32
//   f32        everything not named: softmax, arithmetic, the optimizer, and the residual stream (unless
//              PassOptions.residual is bf16)
//   as it is   norms and losses read bf16 or f32 and compute in f32: statistics, losses and sums over rows are f32
//   either     activations, dropout and movement follow their readers
// A product or norm gives f32 at once where its readers want that (`widen`), and bf16 where they do not (`narrow`), so
// that few casts are left: one a value, before its first reader.
//
// Weights are cast once an update, not once a micro-batch: `bf16.w`, a derived state, is written by `prepare` and by
// whatever graph stores `w` (`update`), and read by all others. On CUDA targets so are biases of a `linear` that gives
// bf16. Caches that only attention reads are bf16 themselves.
// Embeddings read the master weights. Left alone: types other than f32 that the model wrote; inputs, outputs and other
// states keep theirs.
//
// Stands after autodiff, so that what the backward saves and reads is bf16 too, and before the micro-step is cloned.
#ifndef GPTC_PASSES_MIXED_PRECISION_H_
#define GPTC_PASSES_MIXED_PRECISION_H_

#include "passes/pass.h"

namespace gptc {

Status MixedPrecision(Module& module, PassContext& context);

}  // namespace gptc

#endif  // GPTC_PASSES_MIXED_PRECISION_H_
