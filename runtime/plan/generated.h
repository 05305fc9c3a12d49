// Generated kernels: what the compiler that makes them and the device that runs them must agree on.
#ifndef GPTC_RUNTIME_PLAN_GENERATED_H_
#define GPTC_RUNTIME_PLAN_GENERATED_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ir/base/fused_region.h"
#include "ir/base/type.h"
#include "runtime/plan/plan.h"

namespace gptc {

// The name of the kernel of a `fused` step, its first function's too: "fused_add_gelu_8c1f0e5b7a92d364", some of the
// region's ops and a hash of region and types. Equal for equal work alone.
std::string GeneratedKernelName(std::string_view region, std::span<const Type> operands);

// The kernel of this name; null where the plan has none.
const plan::GeneratedKernelT* FindGeneratedKernel(const plan::PlanT& plan, std::string_view name);

// The whole program that was compiled.
std::string GeneratedProgram(const plan::GeneratedCodeT& code);

// Totals are summed in two stages: parts of the rows, then the parts in order. How many parts a region's rows make, of
// how many rows, and the bytes of all their sums: f32 [totals, parts, width].
struct FusedParts {
  int64_t rows = 0;   // of a part
  int64_t count = 0;  // of parts
  int64_t bytes = 0;
};
FusedParts FusedPartsOf(const FusedTypes& types);

}  // namespace gptc

#endif  // GPTC_RUNTIME_PLAN_GENERATED_H_
