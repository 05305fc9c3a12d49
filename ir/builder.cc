#include "ir/builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ir/base/check.h"
#include "ir/base/infer.h"
#include "ir/base/scalars.h"

namespace gptc {
namespace {

// FNV-1a (Fowler, Noll, Vo), folded to 53 bits so that the key survives any number format it is written in.
int64_t StableKey(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  return static_cast<int64_t>((hash ^ (hash >> 53)) & ((uint64_t{1} << 53) - 1));
}

// "%12", or the name of an input or a state.
std::string OperandText(const ValueInfo& info) {
  return info.kind == ValueInfo::Kind::kResult ? Cat("%", info.name) : info.name;
}

bool SameState(const State& a, const State& b) {
  return a.type == b.type && a.kind == b.kind && a.init == b.init && a.decay == b.decay &&
         a.logical_rows == b.logical_rows && a.of == b.of && a.names == b.names;
}

// How many tensors Emit returns after an error.
size_t ResultCount(const OpInfo& info, const Attributes& attributes) {
  if (!info.results.back().variadic) return info.results.size();
  const AttributeValue* parts = attributes.Find("parts");
  const int64_t* count = parts == nullptr ? nullptr : std::get_if<int64_t>(parts);
  return count == nullptr ? 0 : static_cast<size_t>(std::clamp<int64_t>(*count, 0, 4096));
}

}  // namespace

const Type& Tensor::type() const {
  CHECK(valid());
  return builder->graph().type(value);
}
const Shape& Tensor::shape() const { return type().shape; }

GraphBuilder::GraphBuilder(Module& module, std::string graph_name) : module_(&module), states_(module) {
  for (size_t i = 0; i < module.graphs.size(); ++i) {
    if (module.graphs[i].name != graph_name) continue;
    graph_index_ = static_cast<int>(i);
    Fail(InvalidArgument("the module has a graph '", graph_name, "' already"));
    return;
  }
  graph_index_ = static_cast<int>(module.graphs.size());
  module.graphs.emplace_back(std::move(graph_name));
}

GraphBuilder::GraphBuilder(Module& module, Graph& graph) : module_(&module), states_(module), graph_(&graph) {}

Graph& GraphBuilder::graph() { return graph_ != nullptr ? *graph_ : module_->graphs[graph_index_]; }

Location GraphBuilder::LocationOf(Where where) const {
  if (location_.known()) return location_;
  constexpr std::string_view kRoot = GPTC_SOURCE_DIR "/";
  std::string_view file = where.file_name();
  if (file.starts_with(kRoot)) file.remove_prefix(kRoot.size());
  while (file.starts_with("../")) file.remove_prefix(3);  // a compiler that was given relative paths
  return {std::string(file), static_cast<int>(where.line())};
}

void GraphBuilder::FailAt(const Location& location, const Status& status) {
  Fail(location.known() ? Annotate(status, location.Text()) : status);
}

bool GraphBuilder::CheckName(std::string_view what, std::string_view name) {
  if (!status_.ok()) return false;
  if (name.empty()) Fail(InvalidArgument("graph '", graph().name, "': an ", what, " has no name"));
  return status_.ok();
}

void GraphBuilder::Declare(gptc::State state) {
  if (!status_.ok()) return;
  if (state.name.empty()) return Fail(InvalidArgument("a state has no name"));
  if (Status size = CheckSize(state.type, module_->Symbols()); !size.ok()) {
    return Fail(Annotate(size, Cat("state '", state.name, "'")));
  }
  int at = states_.Find(state.name);
  if (at < 0) {
    module_->states.push_back(std::move(state));
  } else if (!SameState(module_->states[at], state)) {
    std::vector<std::string> symbols = module_->Symbols();
    Fail(InvalidArgument("state '", state.name, "' is declared twice, as ", NameOf(module_->states[at].kind), " ",
                         TypeText(module_->states[at].type, symbols), " and as ", NameOf(state.kind), " ",
                         TypeText(state.type, symbols)));
  }
}

Tensor GraphBuilder::Input(std::string name, DType dtype, Shape shape) {
  if (!CheckName("input", name)) return {};
  if (graph().FindValue(name).valid() || states_.Find(name) >= 0) {
    Fail(InvalidArgument("graph '", graph().name, "': there is a value or a state '", name,
                         "' already, an input needs a name of its own"));
    return {};
  }
  Type type{dtype, std::move(shape)};
  if (Status size = CheckSize(type, module_->Symbols()); !size.ok()) {
    Fail(Annotate(size, Cat("graph '", graph().name, "': input '", name, "'")));
    return {};
  }
  return {this, graph().AddInput(std::move(name), std::move(type))};
}

Tensor GraphBuilder::State(std::string_view name, Where where) {
  if (!status_.ok()) return {};
  int at = states_.Find(name);
  if (at >= 0) return {this, module_->StateValue(graph(), at)};
  std::vector<std::string> known;
  for (const gptc::State& state : module_->states) known.push_back(state.name);
  std::string near = Nearest(name, known);
  FailAt(LocationOf(where),
         InvalidArgument("unknown state '", name, "'", near.empty() ? "" : Cat("; did you mean '", near, "'?")));
  return {};
}

void GraphBuilder::Return(std::string name, Tensor value) {
  if (!CheckName("output", name)) return;
  for (const Output& output : graph().outputs) {
    if (output.name == name) {
      return Fail(InvalidArgument("graph '", graph().name, "': there is an output '", name, "' already"));
    }
  }
  if (value.builder != this || !value.valid()) {
    return Fail(InvalidArgument("graph '", graph().name, "': output '", name, "' is not a value of this graph"));
  }
  graph().outputs.push_back({std::move(name), value.value});
}

void GraphBuilder::StoreState(std::string_view state_name, Tensor value) {
  if (!status_.ok()) return;
  std::string where = Cat("graph '", graph().name, "': store of state '", state_name, "'");
  int at = states_.Find(state_name);
  if (at < 0) return Fail(InvalidArgument(where, ": there is no such state"));
  if (value.builder != this || !value.valid()) return Fail(InvalidArgument(where, ": not a value of this graph"));
  if (value.type() != module_->states[at].type) {
    std::vector<std::string> symbols = module_->Symbols();
    return Fail(InvalidArgument(where, ": the state is ", TypeText(module_->states[at].type, symbols),
                                ", the value is ", TypeText(value.type(), symbols)));
  }
  for (const Store& store : graph().stores) {
    if (store.state == at) return Fail(InvalidArgument(where, ": it is stored already"));
  }
  graph().stores.push_back({at, value.value});
}

Tensor GraphBuilder::Name(Tensor value, std::string_view name) {
  if (!status_.ok() || value.builder != this || !value.valid() || name.empty()) return value;
  const ValueInfo& info = graph().info(value.value);
  if (info.kind != ValueInfo::Kind::kResult || info.name == name) return value;
  // Nor may it stand where a state that is read later will.
  std::string unique = graph().UniqueName(name);
  for (int suffix = 2; states_.Find(unique) >= 0; ++suffix) unique = graph().UniqueName(Cat(name, "_", suffix));
  graph().Rename(value.value, unique);
  return value;
}

std::vector<Tensor> GraphBuilder::Emit(Op op, std::vector<Tensor> inputs, Attributes attributes, Where where) {
  const OpInfo& info = InfoOf(op);
  std::vector<Tensor> failed(ResultCount(info, attributes));
  if (!status_.ok()) return failed;
  Location location = LocationOf(where);
  auto fail = [&](const Status& status) {
    FailAt(location, status);
    return failed;
  };

  // Optional operands that are not given.
  if (inputs.size() == info.inputs.size()) {
    for (size_t i = inputs.size(); i-- > 0;) {
      if (info.inputs[i].optional && inputs[i].builder == nullptr) inputs.erase(inputs.begin() + i);
    }
  }
  std::vector<Value> values;
  std::vector<Type> types;
  std::vector<std::string> operands;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].builder != this || !graph().Contains(inputs[i].value)) {
      return fail(InvalidArgument(info.name, ": operand ", i + 1, " is not a value of graph '", graph().name, "'"));
    }
    const ValueInfo& value = graph().info(inputs[i].value);
    values.push_back(inputs[i].value);
    types.push_back(value.type);
    operands.push_back(OperandText(value));
  }
  if (Status complete = CompleteAttributes(info, attributes); !complete.ok()) return fail(complete);
  std::vector<std::string> symbols = module_->Symbols();
  InferResult results = InferTypes({info, types, attributes, symbols, operands});
  if (!results.ok()) return fail(results.status());

  const OpNode& node = graph().AddOp(op, std::move(values), std::move(attributes), *results, std::move(location));
  std::vector<Tensor> tensors;
  for (Value value : node.results) tensors.push_back({this, value});
  return tensors;
}

Tensor GraphBuilder::EmitOne(Op op, std::vector<Tensor> inputs, Attributes attributes, Where where) {
  std::vector<Tensor> results = Emit(op, std::move(inputs), std::move(attributes), where);
  return results.empty() ? Tensor{} : results[0];
}

Tensor GraphBuilder::SumAll(Tensor x, Where where) {
  std::vector<int64_t> axes;
  if (x.valid()) {
    for (size_t i = 0; i < x.shape().size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  return Sum(x, std::move(axes), false, where);
}

Tensor GraphBuilder::Dropout(Tensor x, double rate, std::string_view key, Where where) {
  if (rate == 0 || !status_.ok()) return x;
  if (states_.Find(kScalarsState) < 0) {
    Declare({.name = kScalarsState, .type = {DType::kF64, {kScalarCount}}, .kind = StateKind::kScalars});
  }
  return EmitOne(Op::kDropout, {x, State(kScalarsState, where)}, {{"rate", rate}, {"key", StableKey(key)}}, where);
}

}  // namespace gptc
