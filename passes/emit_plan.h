// The last graph, written down one to one: every value a buffer, every op a step, every state a state. Needs
// PlanMemory.
#ifndef GPTC_PASSES_EMIT_PLAN_H_
#define GPTC_PASSES_EMIT_PLAN_H_

#include <string>
#include <utility>
#include <vector>

#include "passes/pass.h"
#include "runtime/plan/plan.h"

namespace gptc {

struct EmitOptions {
  std::string compiler;                                      // version of the compiler
  std::string target;                                        // "cpu:avx512"
  std::string precision;                                     // "f32"
  std::vector<std::pair<std::string, std::string>> options;  // of the compilation
  // Whether the kernels of `fused` ops are generated for targets of CUDA. Without them such a plan only tells what it
  // would take.
  bool generate = true;
};

StatusOr<plan::PlanT> EmitPlan(const Module& module, const PassContext& context, const EmitOptions& options);

}  // namespace gptc

#endif  // GPTC_PASSES_EMIT_PLAN_H_
