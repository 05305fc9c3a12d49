#include "passes/emit_plan.h"

#include <xxhash.h>

#include <algorithm>

#include "passes/generate_kernels.h"
#include "passes/operation_counts.h"
#include "passes/plan_memory.h"

namespace gptc {
namespace {

std::unique_ptr<plan::StateT> EmitState(const State& state) {
  auto out = std::make_unique<plan::StateT>();
  out->name = state.name;
  out->kind = static_cast<plan::StateKind>(state.kind);
  out->dtype = static_cast<uint8_t>(state.type.dtype);
  out->shape = state.type.shape;
  out->offset = state.offset;
  out->logical_rows = state.logical_rows;
  out->init = static_cast<plan::InitKind>(state.init.kind);
  out->stddev = state.init.stddev;
  out->decay = state.decay;
  out->of = state.of;
  for (const ExternalName& name : state.names) {
    auto external = std::make_unique<plan::ExternalNameT>();
    external->format = name.format;
    external->name = name.name;
    external->transposed = name.transposed;
    external->part = name.part;
    external->tied = name.tied;
    out->names.push_back(std::move(external));
  }
  return out;
}

std::unique_ptr<plan::PortT> EmitPort(const std::string& name, Value value) {
  auto port = std::make_unique<plan::PortT>();
  port->name = name;
  port->buffer = static_cast<uint32_t>(value.id);
  return port;
}

// A value that no memory was given to: nothing reads or writes it.
std::unique_ptr<plan::BufferT> EmitBuffer(const ValueInfo& info) {
  auto buffer = std::make_unique<plan::BufferT>();
  buffer->dtype = static_cast<uint8_t>(info.type.dtype);
  buffer->shape = info.type.shape;
  buffer->state = info.kind == ValueInfo::Kind::kState ? info.producer : info.in_state;
  buffer->offset = std::max<int64_t>(info.offset, 0);
  return buffer;
}

std::unique_ptr<plan::StepT> EmitStep(const Graph& graph, const OpNode& node) {
  auto step = std::make_unique<plan::StepT>();
  step->kernel = NameOf(node.op);
  for (Value input : node.inputs) step->inputs.push_back(static_cast<uint32_t>(input.id));
  for (Value result : node.results) step->results.push_back(static_cast<uint32_t>(result.id));
  for (const auto& [name, value] : node.attributes.items()) step->attributes.push_back(MakeAttribute(name, value));
  step->location = node.location.Text();
  OperationCount count = CountOperations(graph, node);
  step->flops = count.flops;
  step->bytes = count.bytes;
  return step;
}

std::unique_ptr<plan::EntryT> EmitEntry(const Module& module, const Graph& graph) {
  auto entry = std::make_unique<plan::EntryT>();
  entry->name = graph.name;
  for (int id = 0; id < graph.value_count(); ++id) entry->buffers.push_back(EmitBuffer(graph.info(Value{id})));
  for (Value input : graph.inputs) entry->inputs.push_back(EmitPort(graph.info(input).name, input));
  for (const Output& output : graph.outputs) entry->outputs.push_back(EmitPort(output.name, output.value));
  for (const OpNode& node : graph.ops) entry->steps.push_back(EmitStep(graph, node));
  for (const Store& store : graph.stores) {
    auto out = std::make_unique<plan::StoreT>();
    out->state = static_cast<uint32_t>(store.state);
    out->buffer = static_cast<uint32_t>(store.value.id);
    entry->stores.push_back(std::move(out));
  }
  MemorySummary memory = SummarizeMemory(module, graph);
  entry->arena_bytes = memory.arena_bytes;
  entry->arena_lower_bound = memory.lower_bound;
  return entry;
}

AttributeValue AsAttribute(const ConfigValue& value) {
  return std::visit([](const auto& item) -> AttributeValue { return item; }, value);
}

}  // namespace

StatusOr<plan::PlanT> EmitPlan(const Module& module, const PassContext& context, const EmitOptions& options) {
  plan::PlanT plan;
  plan.major = kPlanMajor;
  plan.minor = kPlanMinor;
  plan.compiler = options.compiler;
  plan.target = options.target;
  plan.precision = options.precision;
  for (const auto& [key, value] : options.options) {
    auto option = std::make_unique<plan::OptionT>();
    option->key = key;
    option->value = value;
    plan.options.push_back(std::move(option));
  }
  plan.model = module.name;
  for (const auto& [key, value] : module.config) plan.config.push_back(MakeAttribute(key, AsAttribute(value)));
  for (const Dimension& dimension : module.dimensions) {
    auto out = std::make_unique<plan::DimensionT>();
    out->name = dimension.name;
    out->value = dimension.value;
    plan.dimensions.push_back(std::move(out));
  }
  plan.source = module.source;
  plan.source_name = module.source_name;
  plan.source_hash = XXH3_64bits(module.source.data(), module.source.size());
  for (const State& state : module.states) plan.states.push_back(EmitState(state));
  plan.state_bytes = StateBytes(module);
  for (const Graph& graph : module.graphs) {
    plan.entries.push_back(EmitEntry(module, graph));
    plan.arena_bytes = std::max(plan.arena_bytes, plan.entries.back()->arena_bytes);
    plan.arena_lower_bound = std::max(plan.arena_lower_bound, plan.entries.back()->arena_lower_bound);
  }
  if (options.generate) {
    ASSIGN_OR_RETURN(plan.generated, GenerateKernels(module, options.target));
  }
  for (const Remark& remark : context.remarks()) {
    auto out = std::make_unique<plan::RemarkT>();
    out->pass = remark.pass;
    out->done = remark.done;
    out->location = remark.location.Text();
    out->text = remark.text;
    plan.remarks.push_back(std::move(out));
  }
  if (!options.generate) return plan;
  if (Status valid = ValidatePlan(plan); !valid.ok()) {
    return absl::InternalError(Cat("the compiler made a plan that its own checks refuse: ", valid.message()));
  }
  return plan;
}

}  // namespace gptc
