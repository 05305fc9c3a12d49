// From a model's module to a plan: the passes in order, and what drives them.
#ifndef GPTC_FRONTENDS_GPTC_PIPELINE_H_
#define GPTC_FRONTENDS_GPTC_PIPELINE_H_

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/module.h"
#include "passes/instrument.h"
#include "passes/pass.h"
#include "runtime/plan/plan.h"

namespace gptc {

// All passes, autodiff among them, in the order in which they run.
std::span<const Pass> Pipeline();
std::vector<std::string> PassNames();
// UsageError with a suggestion where a name is no pass, or (for `disabling`) where the pass cannot be left out.
Status CheckPassNames(std::span<const std::string> names, bool disabling);

struct CompileOptions {
  std::vector<std::pair<std::string, int64_t>> dimensions;  // B, T, ...
  std::string target = "native";
  std::string precision = "f32";  // f32 or bf16
  DType residual = DType::kF32;
  int64_t memory_budget = 0;  // bytes that `recompute` works towards; 0: none. Compilation says whether it got there
  int64_t loss_chunk = 0;     // rows of logits that exist at a time; 0: all
  std::vector<std::string> disabled;
  bool generate = true;          // kernels of `fused` ops for targets of CUDA; else the plan is for looking at
  InstrumentOptions instrument;  // `disabled` is filled in from above
};

struct Compilation {
  plan::PlanT plan;
  int64_t peak_bytes = 0;  // what training takes on as many threads as this machine has
  std::vector<PassRecord> passes;
  std::vector<std::string> notes;  // what the user should know, a line each
};

// Binds, runs the pipeline, emits. `after_bind` sees the bound module before the first pass.
StatusOr<Compilation> Compile(Module module, const CompileOptions& options,
                              const std::function<Status(const Module&)>& after_bind = {});

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_PIPELINE_H_
