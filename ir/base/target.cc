#include "ir/base/target.h"

#include <algorithm>
#include <charconv>
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

std::span<const std::string> CudaTargets() {
  static const auto* targets = new std::vector<std::string>{"cuda:sm_80", "cuda:sm_86", "cuda:sm_89", "cuda:sm_90"};
  return *targets;
}

bool IsCuda(std::string_view target) { return target.starts_with("cuda:"); }

int SmOf(std::string_view target) {
  constexpr std::string_view kPrefix = "cuda:sm_";
  int sm = 0;
  if (!target.starts_with(kPrefix)) return 0;
  const std::string_view digits = target.substr(kPrefix.size());
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), sm);
  return error == std::errc() && end == digits.data() + digits.size() ? sm : 0;
}

bool HasBf16Products(std::string_view target) { return target == "cpu:avx512_bf16" || IsCuda(target); }

std::string NativeTarget() { return CpuTargets()[NativeRank()]; }

StatusOr<std::string> ResolveTarget(std::string_view target) {
  if (target == "native") return NativeTarget();
  std::vector<std::string> targets(CpuTargets().begin(), CpuTargets().end());
  targets.insert(targets.end(), CudaTargets().begin(), CudaTargets().end());
  if (std::find(targets.begin(), targets.end(), target) != targets.end()) return std::string(target);
  std::string near = Nearest(target, targets);
  return UsageError("--target ", target, ": not a target of this compiler",
                    near.empty() ? "" : Cat("; did you mean ", near, "?"), " (native, ", Join(targets, ", "), ")");
}

Status CheckTarget(std::string_view target) {
  const auto gpus = CudaTargets();
  if (std::find(gpus.begin(), gpus.end(), target) != gpus.end()) return OkStatus();
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
