// Elementwise ops wait for memory: each reads its operands and writes its result, and computes next to nothing. A
// cluster of them, with the reductions of rows among them, becomes one `fused` op (ir/base/fused_region.h) that reads
// what comes in and writes what goes out; what stands between never leaves the first-level cache.
//
//   %h: f32[64, 768] = add %x, bias
//   %y: f32[64, 768] = gelu %h                  ->   %y, %d = fused %x, bias {region = "t0 = add a0, a1; t1 = gelu t0;
//   %d: f32[768] = sum %y {axes = [0]}                    t2 = sum t1 {axes = [0]}; return t1, t2"}
//
// Takes elementwise ops, activations, broadcasts, and sum, mean and reduce_max over the last axis, of f32, bf16 and
// bool; sum also over all other axes. Scalar constants come along. Nothing is computed twice: an op joins the cluster
// of an operand, and a value with readers outside is a result of the cluster.
//
// Left alone, with a remark where two ops would have met: values of another shape than the cluster's (rows [n] and
// [rows, 1] columns may come in, columns may be computed); a cluster whose operand would depend on its own result, or
// whose readers stand before its operands; one that would keep operands alive for longer than it saves memory; more
// than 32 ops or 16 operands and results; rows of more than 32,768 elements that are reduced. Silently: other types;
// additions to gradients, and to products that have no other reader: they become part of the product (fuse_accumulate).
//
// For targets of CUDA a cluster's kernel is generated when the plan is emitted (generate_kernels.h), by NVRTC. Where
// that is not found, gptc leaves this pass out and says so; single ops have kernels everywhere.
#ifndef GPTC_PASSES_FUSE_ELEMENTWISE_H_
#define GPTC_PASSES_FUSE_ELEMENTWISE_H_

#include "passes/pass.h"

namespace gptc {
Status FuseElementwise(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_FUSE_ELEMENTWISE_H_
