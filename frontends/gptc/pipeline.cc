#include "frontends/gptc/pipeline.h"

#include <algorithm>

#include "autodiff/training.h"
#include "ir/base/target.h"
#include "ir/verifier.h"
#include "passes/canonicalize.h"
#include "passes/cse.h"
#include "passes/dce.h"
#include "passes/emit_plan.h"
#include "passes/fuse_accumulate.h"
#include "passes/fuse_attention.h"
#include "passes/fuse_elementwise.h"
#include "passes/fuse_residual_norm.h"
#include "passes/plan_memory.h"
#include "passes/schedule.h"
#include "passes/specialize_micro_steps.h"

namespace gptc {
namespace {

Status Differentiate(Module& module, PassContext& context) {
  if (module.FindGraph("train") == nullptr) return OkStatus();  // a model for inference alone
  ASSIGN_OR_RETURN(std::vector<std::string> notes, BuildTraining(module));
  for (std::string& note : notes) context.Missed({}, std::move(note));
  return OkStatus();
}

constexpr Pass kPipeline[] = {
    // First, so that what follows meets each thing in one form: the causal mask inside its softmax, no reshape of a
    // reshape.
    {"canonicalize", &Canonicalize, true, "write each thing in one way (softmax with its causal mask, no-ops away)"},
    // Before autodiff, which would differentiate a repeated value twice.
    {"cse", &EliminateCommonSubexpressions, true, "compute equal values once"},
    {"dce", &EliminateDeadCode, true, "drop what nothing reads"},
    // In canonical form attention looks the same however it was written; its scores must not be differentiated.
    {"fuse_attention", &FuseAttention, true, "softmax(q·kᵀ)·v becomes one op that never holds a T×T matrix"},
    // The loss graph becomes micro_step and update. Fusions that have a backward of their own belong above this line.
    {"autodiff", &Differentiate, false, "reverse-mode gradients, AdamW, micro_step and update"},
    // The reverse walk makes the same transposes and zeros again and again, and reshapes back and forth.
    {"canonicalize_backward", &Canonicalize, true, "canonicalize again, what autodiff made"},
    {"cse_backward", &EliminateCommonSubexpressions, true, "compute equal values of the backward once"},
    {"dce_backward", &EliminateDeadCode, true, "drop gradients that nothing reads"},
    // Needs the norms' gradients; takes additions that would otherwise go into clusters.
    {"fuse_residual_norm", &FuseResidualNorm, true,
     "additions to the residual stream become part of the norms around them"},
    // After all that looks for single ops. Before the clones, so that it is done once; it leaves the additions to
    // gradients
    // for specialize_micro_steps and fuse_accumulate.
    {"fuse_elementwise", &FuseElementwise, true, "clusters of elementwise ops and row reductions become one op"},
    // After everything that treats the micro-step as one graph.
    {"specialize_micro_steps", &SpecializeMicroSteps, false,
     "micro_step.{first,middle,last,only}: the first overwrites gradients, the others add"},
    // Needs the clones: only now it is known which gradients are added to what was there.
    {"fuse_accumulate", &FuseAccumulate, true, "additions to products become part of the products"},
    // The order is final after this, which lifetimes, and so memory, depend on.
    {"schedule", &Schedule, true, "order of execution for a low peak"},
    {"plan_memory", &PlanMemory, false, "a place for every value: in-place results, donated states, arena offsets"},
};

}  // namespace

std::span<const Pass> Pipeline() { return kPipeline; }

std::vector<std::string> PassNames() {
  std::vector<std::string> names;
  for (const Pass& pass : kPipeline) names.push_back(pass.name);
  return names;
}

Status CheckPassNames(std::span<const std::string> names, bool disabling) {
  std::vector<std::string> known = PassNames();
  for (const std::string& name : names) {
    auto at = std::find(known.begin(), known.end(), name);
    if (at == known.end()) {
      std::string near = Nearest(name, known);
      return UsageError("no pass is called '", name, "'", near.empty() ? "" : Cat("; did you mean '", near, "'?"),
                        " (gptc passes lists them)");
    }
    if (disabling && !kPipeline[at - known.begin()].optional)
      return UsageError("--disable ", name, ": a plan cannot be made without this pass");
  }
  return OkStatus();
}

StatusOr<Compilation> Compile(Module module, const CompileOptions& options,
                              const std::function<Status(const Module&)>& after_bind) {
  ASSIGN_OR_RETURN(std::string target, ResolveTarget(options.target));
  RETURN_IF_ERROR(CheckPassNames(options.disabled, /*disabling=*/true));
  if (options.precision != "f32") {
    return UsageError("--precision ", options.precision, ": this version computes in f32");
  }
  RETURN_IF_ERROR(Annotate(BindDimensions(module, options.dimensions), module.source_name));
  RETURN_IF_ERROR(Verify(module));
  if (after_bind) RETURN_IF_ERROR(after_bind(module));
  PassOptions pass_options{.target = target};
  pass_options.residual = options.residual;
  pass_options.memory_budget = options.memory_budget;
  PassContext context(pass_options);
  InstrumentOptions instrument = options.instrument;
  instrument.disabled = options.disabled;
  Compilation result;
  ASSIGN_OR_RETURN(result.passes, RunPasses(module, Pipeline(), instrument, context));
  EmitOptions emit{.compiler = GPTC_VERSION, .target = target, .precision = options.precision, .options = {}};
  for (const std::string& name : options.disabled) emit.options.emplace_back("disable", name);
  ASSIGN_OR_RETURN(result.plan, EmitPlan(module, context, emit));
  return result;
}

}  // namespace gptc
