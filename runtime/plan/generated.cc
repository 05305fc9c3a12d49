#include "runtime/plan/generated.h"

#include <xxhash.h>

#include <algorithm>

namespace gptc {

std::string GeneratedKernelName(std::string_view region, std::span<const Type> operands) {
  constexpr size_t kLongest = 48;
  std::string key = Cat(region, "\n", Join(operands, ", ", [](const Type& type) { return TypeText(type); }));
  std::string name = "fused";
  if (const auto parsed = ParseFusedRegion(region, static_cast<int>(operands.size())); parsed.ok()) {
    for (const FusedInstruction& instruction : parsed->code) {
      const Op op = instruction.op;
      if (op == Op::kConstant || op == Op::kCast || op == Op::kCopy || op == Op::kBroadcast) continue;
      if (name.size() + 1 + NameOf(op).size() > kLongest) break;
      name += Cat("_", NameOf(op));
    }
  }
  constexpr char kDigits[] = "0123456789abcdef";
  const uint64_t hash = XXH3_64bits(key.data(), key.size());
  name += '_';
  for (int shift = 60; shift >= 0; shift -= 4) name += kDigits[hash >> shift & 15];
  return name;
}

const plan::GeneratedKernelT* FindGeneratedKernel(const plan::PlanT& plan, std::string_view name) {
  if (plan.generated == nullptr) return nullptr;
  for (const auto& kernel : plan.generated->kernels) {
    if (kernel->name == name) return kernel.get();
  }
  return nullptr;
}

std::string GeneratedProgram(const plan::GeneratedCodeT& code) {
  std::string program = code.prelude;
  for (const auto& kernel : code.kernels) program += Cat("\n", kernel->source);
  return program;
}

FusedParts FusedPartsOf(const FusedTypes& types) {
  constexpr int64_t kFewestRows = 64, kFewestParts = 8, kElements = int64_t{1} << 18;
  const int64_t totals = std::count(types.forms.begin(), types.forms.end(), FusedForm::kTotal);
  const int64_t width = types.space.back(), rows = width == 0 ? 0 : ElementCount(types.space) / width;
  if (totals == 0 || rows == 0) return {};
  const int64_t most = std::max(kFewestParts, kElements / width);
  FusedParts parts;
  parts.rows = (std::max(kFewestRows, (rows + most - 1) / most) + 7) / 8 * 8;
  parts.count = (rows + parts.rows - 1) / parts.rows;
  parts.bytes = totals * parts.count * width * static_cast<int64_t>(sizeof(float));
  return parts;
}

}  // namespace gptc
