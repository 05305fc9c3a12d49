// What a plan is compiled for. Processors: "cpu:x86_64" runs everywhere; the others ask for an instruction set, each
// including those before it. GPUs: "cuda:sm_90" asks for compute capability 9.0 or newer.
#ifndef GPTC_IR_BASE_TARGET_H_
#define GPTC_IR_BASE_TARGET_H_

#include <span>
#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

// "cpu:x86_64", "cpu:avx2", "cpu:avx512", "cpu:avx512_bf16", in this order.
std::span<const std::string> CpuTargets();
// "cuda:sm_80", "cuda:sm_86", "cuda:sm_89", "cuda:sm_90".
std::span<const std::string> CudaTargets();
bool IsCuda(std::string_view target);
// 90 of "cuda:sm_90"; 0 of what is no CUDA target.
int SmOf(std::string_view target);
// Whether bf16 matrices are multiplied as they are there, and not through f32.
bool HasBf16Products(std::string_view target);
// The best CPU target of this machine.
std::string NativeTarget();
// "native" becomes NativeTarget(). UsageError with a suggestion for what is no target.
StatusOr<std::string> ResolveTarget(std::string_view target);
// FailedPrecondition, with what to do, where this machine's processor cannot run a plan for `target`. CUDA targets
// pass: whether there is such a GPU is found out by opening it (runtime/devices).
Status CheckTarget(std::string_view target);

}  // namespace gptc

#endif  // GPTC_IR_BASE_TARGET_H_
