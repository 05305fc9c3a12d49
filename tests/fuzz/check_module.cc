#include "tests/fuzz/check_module.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "autodiff/training.h"
#include "frontends/gptc/pipeline.h"
#include "ir/base/dtype.h"
#include "ir/base/philox.h"
#include "ir/base/target.h"
#include "ir/printer.h"
#include "passes/testing/random_values.h"
#include "runtime/cpu/kernels.h"
#include "runtime/exec/executor.h"
#include "tests/fuzz/random_graphs.h"

namespace gptc {
namespace {

constexpr double kTolerance = 2e-4;
constexpr double kExactTolerance = 1e-9;
// How much of the reference's own rounding error (exact against rounded) is granted besides.
constexpr double kConditioning = 50;

void Write(const HostTensor& from, TensorView to) {
  for (size_t i = 0; i < from.data.size(); ++i) {
    double value = from.data[i];
    switch (to.type.dtype) {
      case DType::kF64:
        to.as<double>()[i] = value;
        break;
      case DType::kF32:
        to.as<float>()[i] = static_cast<float>(value);
        break;
      case DType::kBF16:
        to.as<uint16_t>()[i] = Bf16FromFloat(static_cast<float>(value));
        break;
      case DType::kF16:
        to.as<uint16_t>()[i] = F16FromFloat(static_cast<float>(value));
        break;
      case DType::kI32:
        to.as<int32_t>()[i] = static_cast<int32_t>(value);
        break;
      case DType::kU16:
        to.as<uint16_t>()[i] = static_cast<uint16_t>(value);
        break;
      case DType::kBool:
        to.as<bool>()[i] = value != 0;
        break;
    }
  }
}

HostTensor Read(TensorView from) {
  HostTensor to(from.type);
  for (size_t i = 0; i < to.data.size(); ++i) {
    switch (from.type.dtype) {
      case DType::kF64:
        to.data[i] = from.as<double>()[i];
        break;
      case DType::kF32:
        to.data[i] = from.as<float>()[i];
        break;
      case DType::kBF16:
        to.data[i] = FloatFromBf16(from.as<uint16_t>()[i]);
        break;
      case DType::kF16:
        to.data[i] = FloatFromF16(from.as<uint16_t>()[i]);
        break;
      case DType::kI32:
        to.data[i] = from.as<int32_t>()[i];
        break;
      case DType::kU16:
        to.data[i] = from.as<uint16_t>()[i];
        break;
      case DType::kBool:
        to.data[i] = from.as<bool>()[i];
        break;
    }
  }
  return to;
}

// One run of one graph: what the plan calls it, what the evaluator does.
struct Call {
  std::string entry, graph;
  bool clears_gradients = false;
  uint64_t seed = 0;
};

std::vector<Call> CallsOf(const Module& module, const CheckOptions& options) {
  std::vector<Call> calls;
  uint64_t seed = options.seed;
  if (module.FindGraph("micro_step") != nullptr) {
    for (int step = 0; step < options.steps; ++step) {
      for (const char* kind : {"first", "middle", "last"}) {
        calls.push_back({Cat("micro_step.", kind), "micro_step", std::string_view(kind) == "first", ++seed});
      }
      calls.push_back({"update", "update", false, ++seed});
    }
    calls.push_back({"micro_step.only", "micro_step", true, ++seed});
  }
  for (const Graph& graph : module.graphs) {
    if (graph.name != "micro_step" && graph.name != "update" && graph.name != "prepare")
      calls.push_back({graph.name, graph.name, false, ++seed});
  }
  return calls;
}

// What a run leaves: its outputs and, after it, every state.
struct Trace {
  std::vector<std::pair<std::string, HostTensor>> values;
};

StatusOr<std::vector<Trace>> RunReference(const Module& module, const std::vector<Call>& calls, StateMap states,
                                          Rounding rounding) {
  if (const Graph* prepare = module.FindGraph("prepare"))
    RETURN_IF_ERROR(Evaluate(module, *prepare, {}, states, rounding).status());
  std::vector<Trace> traces;
  for (const Call& call : calls) {
    if (call.clears_gradients) {
      for (const State& state : module.states) {
        if (state.kind == StateKind::kGradient)
          std::fill(states[state.name].data.begin(), states[state.name].data.end(), 0.0);
      }
    }
    const Graph& graph = *module.FindGraph(call.graph);
    ASSIGN_OR_RETURN(std::vector<HostTensor> outputs,
                     Evaluate(module, graph, RandomInputs(graph, call.seed), states, rounding));
    Trace trace;
    for (size_t i = 0; i < outputs.size(); ++i)
      trace.values.emplace_back(Cat("output ", graph.outputs[i].name), std::move(outputs[i]));
    for (const State& state : module.states) trace.values.emplace_back(Cat("state ", state.name), states[state.name]);
    traces.push_back(std::move(trace));
  }
  return traces;
}

// The same by the plan. `bits` gets all bytes that come out.
StatusOr<std::vector<Trace>> RunPlan(const plan::PlanT& plan, const Module& module, const std::vector<Call>& calls,
                                     const CheckOptions& options, bool isolate, std::string& bits) {
  HostDevice host(&CpuKernel);
  ASSIGN_OR_RETURN(
      std::unique_ptr<Executor> executor,
      Executor::Create(plan, options.device != nullptr ? *options.device : host, {.entries = {}, .isolate = isolate}));
  StateMap states = RandomStates(module, options.seed);
  for (size_t i = 0; i < plan.states.size(); ++i) {
    RETURN_IF_ERROR(executor->WriteState(static_cast<int>(i), [&](const TensorView& view) {
      std::memset(view.data, 0, view.bytes());  // what pads it
      Write(states[plan.states[i]->name], view);
      return OkStatus();
    }));
  }
  RETURN_IF_ERROR(executor->RunIfPresent("prepare"));
  std::vector<Trace> traces;
  for (const Call& call : calls) {
    const Graph& graph = *module.FindGraph(call.graph);
    BoundEntry* entry = executor->entry(call.entry);
    if (entry == nullptr) return NotFound("the plan has no entry point ", call.entry);
    std::vector<HostTensor> inputs = RandomInputs(graph, call.seed);
    for (size_t i = 0; i < inputs.size(); ++i) Write(inputs[i], entry->input(graph.info(graph.inputs[i]).name));
    RETURN_IF_ERROR(entry->Run());
    Trace trace;
    auto keep = [&](std::string name, TensorView view) {
      bits.append(view.as<char>(), view.bytes());
      trace.values.emplace_back(std::move(name), Read(view));
    };
    for (const Output& output : graph.outputs) keep(Cat("output ", output.name), entry->output(output.name));
    for (size_t i = 0; i < plan.states.size(); ++i) {
      RETURN_IF_ERROR(executor->ReadState(static_cast<int>(i), [&](const TensorView& view) {
        const Type logical = LogicalTypeOf(*plan.states[i]);
        keep(Cat("state ", plan.states[i]->name), {logical, view.data});
        if (logical == view.type) return OkStatus();
        const HostTensor whole = Read(view);
        const auto padding = whole.data.begin() + static_cast<std::ptrdiff_t>(ElementCount(logical.shape));
        if (std::all_of(padding, whole.data.end(), [](double x) { return x == 0; })) return OkStatus();
        return InvalidArgument(call.entry, ": what pads state ", plan.states[i]->name, " is not 0");
      }));
    }
    traces.push_back(std::move(trace));
  }
  return traces;
}

double Largest(const HostTensor& tensor) {
  double most = 0;
  for (double value : tensor.data) most = std::isfinite(value) ? std::max(most, std::abs(value)) : most;
  return most;
}

// The largest difference of two tensors; infinity where one alone is not finite.
double Distance(const HostTensor& a, const HostTensor& b, size_t& where) {
  double most = 0;
  for (size_t i = 0; i < a.data.size(); ++i) {
    double x = a.data[i], y = b.data[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    double distance = std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : INFINITY;
    if (distance > most) most = distance, where = i;
  }
  return most;
}

Status CompareTraces(const Trace& exact, const Trace& rounded, const Trace& found, const Call& call) {
  for (size_t i = 0; i < found.values.size(); ++i) {
    const auto& [name, value] = found.values[i];
    auto of_name = [&](const Trace& trace) -> const HostTensor* {
      for (const auto& [key, tensor] : trace.values) {
        if (key == name) return &tensor;
      }
      return nullptr;
    };
    if (of_name(rounded) == nullptr) continue;  // a state that a later pass has derived
    const HostTensor &expected = *of_name(rounded), &precise = *of_name(exact);
    if (value.type != expected.type) return InvalidArgument(call.entry, ": ", name, " has another type");
    size_t where = 0, ignored = 0;
    double allowed =
        kTolerance * std::max(1.0, Largest(expected)) + kConditioning * Distance(precise, expected, ignored);
    double distance = Distance(expected, value, where);
    if (distance > allowed) {
      return InvalidArgument(call.entry, ": ", name, " (", TypeText(value.type), ") element ", where, " is ",
                             value.data[where], " and should be ", expected.data[where], " (exactly ",
                             precise.data[where], "; ", allowed, " off is allowed)");
    }
  }
  return OkStatus();
}

// The module as the compiler has it once it is said what is bf16, but for padding.
StatusOr<Module> MixPrecision(Module module, const CheckOptions& options) {
  RETURN_IF_ERROR(BindDimensions(module, options.dimensions));
  PassOptions pass_options;
  pass_options.compute = DType::kBF16;
  pass_options.residual = options.residual;
  pass_options.loss_chunk = options.loss_chunk;
  if (IsCuda(options.target)) pass_options.target = options.target;
  PassContext context(pass_options);
  for (const Pass& pass : Pipeline()) {
    const bool pads = pass.name == std::string_view("pad_vocabulary");
    if (!pads && std::find(options.disabled.begin(), options.disabled.end(), pass.name) == options.disabled.end())
      RETURN_IF_ERROR(pass.run(module, context));
    if (pass.name == std::string_view("mixed_precision")) break;
  }
  return module;
}

// Exactly evaluated, where a cast changes nothing, both modules must give the same.
Status CompareExactly(const Module& before, const Module& module, const std::vector<Call>& calls, uint64_t seed) {
  StateMap states = RandomStates(module, seed), states_before;
  for (const State& state : before.states) {  // a cache that is bf16 now holds numbers that are
    states_before.emplace(state.name, HostTensor(state.type, states[state.name].data));
  }
  ASSIGN_OR_RETURN(std::vector<Trace> a, RunReference(before, calls, std::move(states_before), Rounding::kExact));
  ASSIGN_OR_RETURN(std::vector<Trace> b, RunReference(module, calls, std::move(states), Rounding::kExact));
  for (size_t i = 0; i < calls.size(); ++i) {
    for (const auto& item : a[i].values) {
      const auto& [name, value] = item;
      const auto same = std::find_if(b[i].values.begin(), b[i].values.end(),
                                     [&](const auto& each) { return each.first == item.first; });
      size_t where = 0;
      const double distance = Distance(value, same->second, where);
      if (distance <= kExactTolerance * std::max(1.0, Largest(value))) continue;
      return InvalidArgument("mixed_precision: ", calls[i].entry, ": ", name, " element ", where, " was exactly ",
                             value.data[where], " and is ", same->second.data[where]);
    }
  }
  return OkStatus();
}

}  // namespace

Status CheckModule(const Module& module, const CheckOptions& options) {
  Module original = module;
  RETURN_IF_ERROR(BindDimensions(original, options.dimensions));
  if (original.FindGraph("train") != nullptr) RETURN_IF_ERROR(BuildTraining(original).status());
  const std::vector<Call> calls = CallsOf(original, options);
  if (options.precision != "f32") {
    ASSIGN_OR_RETURN(Module bound, MixPrecision(module, options));
    RETURN_IF_ERROR(CompareExactly(original, bound, calls, options.seed));
    original = std::move(bound);
  }

  CompileOptions compile;
  compile.dimensions = options.dimensions;
  compile.disabled = options.disabled;
  compile.precision = options.precision;
  compile.residual = options.residual;
  compile.loss_chunk = options.loss_chunk;
  compile.target = options.target;
  compile.generate = !options.complete;
  const auto compile_and_complete = [&]() -> StatusOr<Compilation> {
    ASSIGN_OR_RETURN(Compilation compiled, Compile(module, compile));
    if (options.complete) RETURN_IF_ERROR(options.complete(compiled.plan));
    return compiled;
  };
  ASSIGN_OR_RETURN(Compilation compiled, compile_and_complete());
  ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> plan, ParsePlan(SerializePlan(compiled.plan), "the plan"));

  std::string bits, isolated_bits;
  ASSIGN_OR_RETURN(std::vector<Trace> found, RunPlan(*plan, original, calls, options, false, bits));
  ASSIGN_OR_RETURN(std::vector<Trace> isolated, RunPlan(*plan, original, calls, options, true, isolated_bits));
  ASSIGN_OR_RETURN(std::vector<Trace> exact,
                   RunReference(original, calls, RandomStates(original, options.seed), Rounding::kExact));
  ASSIGN_OR_RETURN(std::vector<Trace> rounded,
                   RunReference(original, calls, RandomStates(original, options.seed), Rounding::kRounded));
  for (size_t i = 0; i < calls.size(); ++i) {
    if (Status same = CompareTraces(exact[i], rounded[i], isolated[i], calls[i]); !same.ok())
      return Annotate(same, "with every value in memory of its own");
    RETURN_IF_ERROR(CompareTraces(exact[i], rounded[i], found[i], calls[i]));
  }
  if (bits != isolated_bits)
    return InvalidArgument("the run differs in some bits from the one with every value in memory of its own");
  const int64_t share = static_cast<int64_t>(Mix64(options.seed) % 8 + 1);
  for (int64_t budget : {int64_t{1}, compiled.peak_bytes - compiled.plan.arena_bytes / 10 * share}) {
    if (budget <= 0) continue;
    compile.memory_budget = budget;
    ASSIGN_OR_RETURN(Compilation less, compile_and_complete());
    if (less.plan.arena_bytes > compiled.plan.arena_bytes)
      return InvalidArgument("under a memory budget of ", budget, " bytes the arena is larger");
    std::string budget_bits;
    RETURN_IF_ERROR(RunPlan(less.plan, original, calls, options, false, budget_bits).status());
    if (budget_bits != bits) return InvalidArgument("a memory budget of ", budget, " bytes changes some bits");
  }
  return OkStatus();
}

namespace {

Status CheckOnce(uint64_t seed, int most_ops, const std::vector<std::string>& disabled) {
  ASSIGN_OR_RETURN(Module module, RandomModule(seed, most_ops));
  CheckOptions options{.disabled = disabled, .dimensions = {}, .seed = seed};
  // Every third module in bf16, half of them with the residual stream too.
  if (seed % 3 == 1 && std::find(disabled.begin(), disabled.end(), "mixed_precision") == disabled.end()) {
    options.precision = "bf16";
    if (seed % 2 == 0) options.residual = DType::kBF16;
  }
  if (seed % 4 == 0) options.loss_chunk = 1 + static_cast<int64_t>(seed % 7);
  return CheckModule(module, options);
}

Status CheckAndShrink(uint64_t seed, int most_ops, const std::vector<std::string>& disabled) {
  Status failed = CheckOnce(seed, most_ops, disabled);
  if (failed.ok()) return failed;
  int ops = most_ops;
  for (int fewer = 0; fewer < most_ops; ++fewer) {
    Status status = CheckOnce(seed, fewer, disabled);
    if (status.ok()) continue;
    ops = fewer;
    failed = status;
    break;
  }
  StatusOr<Module> module = RandomModule(seed, ops);
  return InvalidArgument("seed ", seed, ", ", ops,
                         " ops, passes left out: ", disabled.empty() ? "none" : Join(disabled, ", "), "\n",
                         Message(failed), "\n", module.ok() ? PrintModule(*module) : "");
}

}  // namespace

Status CheckSeed(uint64_t seed, int most_ops, bool thorough) {
  RETURN_IF_ERROR(CheckAndShrink(seed, most_ops, {}));
  std::vector<std::string> some;
  uint64_t choice = seed * 0x9e3779b97f4a7c15ull >> 20;
  for (const Pass& pass : Pipeline()) {
    if (!pass.optional) continue;
    if (thorough) RETURN_IF_ERROR(CheckAndShrink(seed, most_ops, {pass.name}));
    if (choice % 2 == 1) some.push_back(pass.name);
    choice /= 2;
  }
  return CheckAndShrink(seed, most_ops, some);
}

}  // namespace gptc
