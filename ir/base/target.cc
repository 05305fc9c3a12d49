#include "ir/base/target.h"

#include <algorithm>
#include <vector>

namespace gptc {

std::span<const std::string> CpuTargets() {
  static const auto* targets = new std::vector<std::string>{"cpu:x86_64", "cpu:avx2", "cpu:avx512", "cpu:avx512_bf16"};
  return *targets;
}

static size_t NativeRank() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
    return 1;
  return __builtin_cpu_supports("avx512bf16") ? 3 : 2;
}

bool HasBf16Products(std::string_view target) { return target == "cpu:avx512_bf16"; }

std::string NativeTarget() { return CpuTargets()[NativeRank()]; }

StatusOr<std::string> ResolveTarget(std::string_view target) {
  if (target == "native") return NativeTarget();
  auto targets = CpuTargets();
  if (std::find(targets.begin(), targets.end(), target) != targets.end()) return std::string(target);
  std::string near = Nearest(target, targets);
  return UsageError("--target ", target, ": not a target of this compiler",
                    near.empty() ? "" : Cat("; did you mean ", near, "?"), " (native, ", Join(targets, ", "), ")");
}

Status CheckTarget(std::string_view target) {
  auto targets = CpuTargets();
  auto at = std::find(targets.begin(), targets.end(), target);
  if (at == targets.end())
    return FailedPrecondition("the plan is for ", target,
                              ", which this program does not run; compile it with --target native");
  if (static_cast<size_t>(at - targets.begin()) > NativeRank()) {
    return FailedPrecondition("the plan is for ", target, " and this machine is ", NativeTarget(),
                              "; compile it with --target ", NativeTarget());
  }
  return OkStatus();
}

}  // namespace gptc
