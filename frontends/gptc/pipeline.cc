#include "frontends/gptc/pipeline.h"

#include <algorithm>
#include <optional>

#include "autodiff/training.h"
#include "frontends/common/thread_count.h"
#include "ir/base/target.h"
#include "ir/verifier.h"
#include "passes/canonicalize.h"
#include "passes/chunk_logits.h"
#include "passes/cse.h"
#include "passes/dce.h"
#include "passes/emit_plan.h"
#include "passes/fuse_accumulate.h"
#include "passes/fuse_attention.h"
#include "passes/fuse_cross_entropy.h"
#include "passes/fuse_elementwise.h"
#include "passes/fuse_linear.h"
#include "passes/fuse_residual_norm.h"
#include "passes/group_adamw.h"
#include "passes/mixed_precision.h"
#include "passes/nvrtc.h"
#include "passes/pack_weights.h"
#include "passes/pad_vocabulary.h"
#include "passes/plan_memory.h"
#include "passes/recompute.h"
#include "passes/schedule.h"
#include "passes/specialize_micro_steps.h"
#include "runtime/plan/workspace.h"

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
    // Before autodiff, so that gradients and the optimizer's states take the padded shape.
    {"pad_vocabulary", &PadVocabulary, true, "logits in rows of a multiple of 128 elements, on a GPU"},
    // In canonical form attention looks the same however it was written; its scores must not be differentiated.
    {"fuse_attention", &FuseAttention, true, "softmax(q·kᵀ)·v becomes one op that never holds a T×T matrix"},
    // The loss graph becomes micro_step and update. Fusions that have a backward of their own belong above this line.
    {"autodiff", &Differentiate, false, "reverse-mode gradients, AdamW, micro_step and update"},
    // The reverse walk makes the same transposes and zeros again and again, and reshapes back and forth.
    {"canonicalize_backward", &Canonicalize, true, "canonicalize again, what autodiff made"},
    {"cse_backward", &EliminateCommonSubexpressions, true, "compute equal values of the backward once"},
    {"dce_backward", &EliminateDeadCode, true, "drop gradients that nothing reads"},
    // Needs the backward and what its cotangents are made of. Before what casts: a row's loss stays f32 beside bf16
    // logits.
    {"fuse_cross_entropy", &FuseCrossEntropy, true, "loss and gradient in one reading of the logits"},
    // Loss and gradient must be one op, else all logits would wait for the second.
    {"chunk_logits", &ChunkLogits, true, "logits in chunks of rows, under --loss-chunk"},
    // On the whole backward, so that what it saves is bf16 as well; before the clones, each of which would be changed
    // alone.
    {"mixed_precision", &MixedPrecision, true, "products, and what lies between them, in bf16 (--precision bf16)"},
    // Once types are final: whether a residual can be added in the product depends on them.
    {"fuse_linear", &FuseLinear, true, "residuals, GELU and its backward are computed where the product is"},
    // Behind fuse_linear, which takes the additions that follow a product at once. Needs the norms' gradients; takes
    // additions that would otherwise go into clusters.
    {"fuse_residual_norm", &FuseResidualNorm, true,
     "additions to the residual stream become part of the norms around them"},
    // After all that looks for single ops. Before the clones, so that it is done once; it leaves the additions to
    // gradients for specialize_micro_steps and fuse_accumulate.
    {"fuse_elementwise", &FuseElementwise, true, "clusters of elementwise ops and row reductions become one op"},
    // After the fusions, which change what reads a weight; before the clones, so that it is done once.
    {"pack_weights", &PackWeights, true, "weights lie as products read them fastest, packed once an update"},
    // Behind all that adds derived states, whose casts it takes.
    {"group_adamw", &GroupAdamW, true, "AdamW of all parameters, with their bf16 copies, in one launch, on a GPU"},
    // After the fusions, whose ops it weighs, and after what adds states, and while the micro-step is one graph.
    {"recompute", &Recompute, true, "under --memory-budget: compute activations again in the backward, cheapest first"},
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

// What products are to compute in.
static StatusOr<DType> ComputeType(const CompileOptions& options, std::string_view target) {
  const std::optional<DType> dtype = DTypeNamed(options.precision);
  if (dtype == DType::kF16) {
    return UsageError("--precision f16: for CUDA targets only; ", target, " computes in f32 or bf16");
  }
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return UsageError("--precision ", options.precision, ": there are f32, bf16 and f16");
  }
  const bool disabled =
      std::find(options.disabled.begin(), options.disabled.end(), "mixed_precision") != options.disabled.end();
  const DType compute = disabled ? DType::kF32 : *dtype;
  if (options.residual != DType::kF32 && compute == DType::kF32) {
    return UsageError("--residual ", NameOf(options.residual), ": needs --precision bf16");
  }
  return compute;
}

StatusOr<Compilation> Compile(Module module, const CompileOptions& options,
                              const std::function<Status(const Module&)>& after_bind) {
  ASSIGN_OR_RETURN(std::string target, ResolveTarget(options.target));
  RETURN_IF_ERROR(CheckPassNames(options.disabled, /*disabling=*/true));
  ASSIGN_OR_RETURN(const DType compute, ComputeType(options, target));
  RETURN_IF_ERROR(Annotate(BindDimensions(module, options.dimensions), module.source_name));
  RETURN_IF_ERROR(Verify(module));
  if (after_bind) RETURN_IF_ERROR(after_bind(module));
  PassOptions pass_options{.target = target, .compute = compute};
  pass_options.residual = options.residual;
  pass_options.memory_budget = options.memory_budget;
  pass_options.loss_chunk = options.loss_chunk;
  pass_options.threads = ThreadCountHere();
  PassContext context(pass_options);
  InstrumentOptions instrument = options.instrument;
  instrument.disabled = options.disabled;
  Compilation result;
  // Clusters are worth making only where there is a compiler for their kernels. Single ops have kernels everywhere.
  const bool clusters =
      std::find(options.disabled.begin(), options.disabled.end(), "fuse_elementwise") == options.disabled.end();
  if (IsCuda(target) && clusters) {
    if (const Status nvrtc = FindNvrtc(); !nvrtc.ok()) {
      instrument.disabled.push_back("fuse_elementwise");
      result.notes.push_back(Cat("clusters of elementwise ops are left unfused: ", Message(nvrtc)));
    }
  }
  ASSIGN_OR_RETURN(result.passes, RunPasses(module, Pipeline(), instrument, context));
  EmitOptions emit{
      .compiler = GPTC_VERSION, .target = target, .precision = std::string(NameOf(compute)), .options = {}};
  emit.generate = options.generate;
  if (options.loss_chunk > 0) emit.options.emplace_back("loss_chunk", Cat(options.loss_chunk));
  for (const std::string& name : options.disabled) emit.options.emplace_back("disable", name);
  if (options.residual != DType::kF32) emit.options.emplace_back("residual", NameOf(options.residual));
  if (options.memory_budget > 0) emit.options.emplace_back("memory_budget", Cat(options.memory_budget));
  ASSIGN_OR_RETURN(result.plan, EmitPlan(module, context, emit));
  result.peak_bytes = PeakBytes(result.plan, pass_options.threads);
  return result;
}

}  // namespace gptc
