// What a plan is compiled for. "cpu:x86_64" runs everywhere; the others ask for an instruction set, each including
// those before it.
#ifndef GPTC_IR_BASE_TARGET_H_
#define GPTC_IR_BASE_TARGET_H_

#include <span>
#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

// "cpu:x86_64", "cpu:avx2", "cpu:avx512", "cpu:avx512_bf16", in this order.
std::span<const std::string> CpuTargets();
// Whether bf16 matrices are multiplied as they are there, and not through f32.
bool HasBf16Products(std::string_view target);
// The best CPU target of this machine.
std::string NativeTarget();
// "native" becomes NativeTarget(). UsageError with a suggestion for what is no target.
StatusOr<std::string> ResolveTarget(std::string_view target);
// FailedPrecondition, with what to do, where this machine cannot run a plan for `target`.
Status CheckTarget(std::string_view target);

}  // namespace gptc

#endif  // GPTC_IR_BASE_TARGET_H_
