#include "ir/verifier.h"

#include <cmath>
#include <limits>
#include <set>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "ir/base/infer.h"
#include "ir/lexer.h"
#include "ir/printer.h"

namespace gptc {
namespace {

// Names seen so far; they outlive the set.
class Names {
 public:
  // False where it was there before.
  bool Add(std::string_view name) { return names_.insert(absl::string_view(name.data(), name.size())).second; }

 private:
  absl::flat_hash_set<absl::string_view> names_;
};

Status CheckName(Names& names, std::string_view what, std::string_view name) {
  if (!IsName(name)) return InvalidArgument(what, " ", Quote(name), " has a name that the text form cannot hold");
  if (!names.Add(name)) return InvalidArgument("two of the name ", name, " (", what, ")");
  return OkStatus();
}

std::string OffsetProblem(int64_t offset, const Type& type) {
  if (offset == -1) return "";
  if (offset < 0) return Cat("offset ", offset, " is negative");
  if (offset % kOffsetAlignment != 0) return Cat("offset ", offset, " is not a multiple of ", kOffsetAlignment);
  int64_t bytes = IsStatic(type.shape) ? ByteCount(type) : 0;
  if (offset > kMaxBytes - bytes) return Cat("offset ", offset, " is out of range");
  return "";
}

Status CheckState(const Module& module, const absl::flat_hash_set<std::string_view>& parameters, const State& state) {
  auto wrong = [&](std::string_view problem) { return InvalidArgument("state ", state.name, ": ", problem); };
  if (std::string problem = TypeProblem(state.type, module.dimensions.size()); !problem.empty()) return wrong(problem);
  if (std::string problem = OffsetProblem(state.offset, state.type); !problem.empty()) return wrong(problem);
  if (!state.of.empty() && !parameters.contains(state.of))
    return wrong(Cat("it belongs to ", Quote(state.of), ", which is no parameter"));
  if (state.logical_rows != -1) {
    const Shape& shape = state.type.shape;
    if (shape.empty()) return wrong("a scalar has no rows");
    if (state.logical_rows < 1 || (!IsSymbol(shape[0]) && state.logical_rows > shape[0])) {
      return wrong(Cat("it has ", DimText(shape[0], module.Symbols()), " rows, so ", state.logical_rows,
                       " of them cannot be logical"));
    }
  }
  if (!(state.init.stddev >= 0) || std::isinf(state.init.stddev))
    return wrong("its initial standard deviation is negative or not finite");
  for (const ExternalName& external : state.names) {
    if (!IsName(external.format))
      return wrong(Cat("the format ", Quote(external.format), " has a name that the text form cannot hold"));
    if (external.part < -1) return wrong(Cat("part ", external.part, " of ", Quote(external.name), " is negative"));
  }
  return OkStatus();
}

class GraphVerifier {
 public:
  GraphVerifier(const Module& module, const Graph& graph)
      : module_(module), graph_(graph), symbols_(module.Symbols()) {}

  Status Run() {
    defined_.assign(static_cast<size_t>(graph_.value_count()), 0);
    RETURN_IF_ERROR(CheckInputs());
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      Status status = CheckOp(static_cast<int>(i));
      if (!status.ok()) {
        const OpNode& node = graph_.ops[i];
        std::string where = node.location.known() ? Cat(" (", node.location.Text(), ")") : "";
        return InvalidArgument("graph ", graph_.name, ": op ", i, ", '", PrintOp(module_, graph_, node), "'", where,
                               ": ", Message(status));
      }
    }
    return CheckEnd();
  }

 private:
  template <typename... Parts>
  Status Wrong(const Parts&... parts) const {
    return InvalidArgument("graph ", graph_.name, ": ", parts...);
  }

  Status CheckInputs() {
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      Value input = graph_.inputs[i];
      if (!graph_.Contains(input)) return Wrong("input ", i, " is no value of the graph");
      const ValueInfo& info = graph_.info(input);
      if (info.kind != ValueInfo::Kind::kInput || info.producer != static_cast<int32_t>(i)) {
        return Wrong("input ", i, " (", info.name, ") does not say that it is input ", i);
      }
      RETURN_IF_ERROR(CheckValue(input));
      if (Status status = CheckName(bare_names_, "input", info.name); !status.ok()) return Wrong(Message(status));
      defined_[input.id] = 1;
    }
    return OkStatus();
  }

  // Type and offset.
  Status CheckValue(Value value) const {
    const ValueInfo& info = graph_.info(value);
    std::string problem = TypeProblem(info.type, module_.dimensions.size());
    if (problem.empty()) problem = OffsetProblem(info.offset, info.type);
    if (problem.empty()) problem = PlaceProblem(info);
    if (!problem.empty()) return Wrong("value ", info.name, ": ", problem);
    return OkStatus();
  }

  // Of a value that says that it lies in a state's memory.
  std::string PlaceProblem(const ValueInfo& info) const {
    if (info.in_state == -1) return "";
    if (info.kind != ValueInfo::Kind::kResult) return "only results may lie in a state's memory";
    if (info.in_state < 0 || info.in_state >= static_cast<int>(module_.states.size())) {
      return Cat("it lies in state ", info.in_state, ", which does not exist");
    }
    if (info.offset != -1) return "it lies in a state's memory and at an offset";
    const State& state = module_.states[info.in_state];
    if (!TypeProblem(state.type, module_.dimensions.size()).empty())
      return Cat("it lies in the broken state ", state.name);
    const bool known = IsStatic(info.type.shape) && IsStatic(state.type.shape);
    if (known && ByteCount(info.type) > ByteCount(state.type))
      return Cat("it is larger than the state ", state.name, ", where it lies");
    return "";
  }

  // That `value` may be read here.
  Status CheckUse(Value value) {
    if (!graph_.Contains(value)) return InvalidArgument("handle ", value.id, " is no value of the graph");
    if (defined_[value.id] != 0) return OkStatus();
    const ValueInfo& info = graph_.info(value);
    if (info.kind == ValueInfo::Kind::kInput) return InvalidArgument(info.name, " is not among the graph's inputs");
    if (info.kind == ValueInfo::Kind::kResult) return InvalidArgument("%", info.name, " is used before it is defined");
    if (info.producer < 0 || info.producer >= static_cast<int>(module_.states.size())) {
      return InvalidArgument(info.name, " reads state ", info.producer, " of ", module_.states.size());
    }
    const State& state = module_.states[info.producer];
    if (info.name != state.name || info.type != state.type) {
      return InvalidArgument(info.name, ", ", TypeText(info.type, symbols_), ", reads the state ", state.name, ", ",
                             TypeText(state.type, symbols_));
    }
    RETURN_IF_ERROR(CheckName(bare_names_, "state", info.name));
    defined_[value.id] = 1;
    return OkStatus();
  }

  Status CheckAttributes(const OpInfo& info, const Attributes& attributes) const {
    Attributes completed = attributes;
    RETURN_IF_ERROR(CompleteAttributes(info, completed));
    if (completed.items().size() != attributes.items().size())
      return InvalidArgument("its attributes are not complete");
    for (const AttributeSpec& spec : info.attributes) {
      if (spec.type != AttributeType::kInts && spec.type != AttributeType::kDims) continue;
      const std::vector<int64_t>& list = attributes.Ints(spec.name);
      if (list.size() > kMaxRank)
        return InvalidArgument("attribute ", spec.name, " has ", list.size(), " entries (", kMaxRank, " at most)");
      if (spec.type == AttributeType::kInts) continue;
      if (std::string problem = ShapeProblem(list, 1, module_.dimensions.size()); !problem.empty()) {
        return InvalidArgument("attribute ", spec.name, ": ", problem);
      }
    }
    return OkStatus();
  }

  Status CheckOp(int index) {
    const OpNode& node = graph_.ops[index];
    if (static_cast<int>(node.op) >= kOpCount) return InvalidArgument("there is no op ", static_cast<int>(node.op));
    const OpInfo& info = InfoOf(node.op);
    if (node.inputs.size() > kMaxOperands || node.results.size() > kMaxOperands)
      return InvalidArgument("more than ", kMaxOperands, " operands or results");
    RETURN_IF_ERROR(CheckAttributes(info, node.attributes));
    types_.clear();
    operands_.clear();
    for (Value input : node.inputs) {
      RETURN_IF_ERROR(CheckUse(input));
      types_.push_back(graph_.type(input));
      operands_.push_back(OperandText(graph_, input));
    }
    ASSIGN_OR_RETURN(std::vector<Type> inferred, InferTypes({info, types_, node.attributes, symbols_, operands_}));
    if (inferred.size() != node.results.size())
      return InvalidArgument("it has ", node.results.size(), " results instead of ", inferred.size());
    for (size_t r = 0; r < node.results.size(); ++r) {
      Value result = node.results[r];
      if (!graph_.Contains(result)) return InvalidArgument("handle ", result.id, " is no value of the graph");
      const ValueInfo& value = graph_.info(result);
      if (value.kind != ValueInfo::Kind::kResult)
        return InvalidArgument("its result ", value.name, " is an input or a state");
      if (defined_[result.id] != 0) return InvalidArgument("%", value.name, " is defined twice");
      if (value.producer != index || value.result_index != static_cast<int32_t>(r)) {
        return InvalidArgument("%", value.name, " says that it is result ", value.result_index, " of op ",
                               value.producer);
      }
      if (value.type != inferred[r]) {
        return InvalidArgument("%", value.name, " should be ", TypeText(inferred[r], symbols_), ", not ",
                               TypeText(value.type, symbols_));
      }
      if (!IsValueName(value.name)) return InvalidArgument("the text form cannot hold the name ", Quote(value.name));
      if (!result_names_.Add(value.name)) return InvalidArgument("two values have the name %", value.name);
      RETURN_IF_ERROR(CheckValue(result));
      defined_[result.id] = 1;
    }
    return OkStatus();
  }

  Status CheckEnd() {
    Names names;
    for (const Output& output : graph_.outputs) {
      if (Status status = CheckName(names, "output", output.name); !status.ok()) return Wrong(Message(status));
      if (Status status = CheckUse(output.value); !status.ok())
        return Wrong("output ", output.name, ": ", Message(status));
    }
    std::set<int> stored;
    for (const Store& store : graph_.stores) {
      if (store.state < 0 || store.state >= static_cast<int>(module_.states.size())) {
        return Wrong("a store to state ", store.state, " of ", module_.states.size());
      }
      const State& state = module_.states[store.state];
      if (!stored.insert(store.state).second) return Wrong("two stores to ", state.name);
      if (Status status = CheckUse(store.value); !status.ok())
        return Wrong("store to ", state.name, ": ", Message(status));
      if (graph_.type(store.value) != state.type) {
        return Wrong("store to ", state.name, ": it is ", TypeText(state.type, symbols_), ", and ",
                     OperandText(graph_, store.value), " is ", TypeText(graph_.type(store.value), symbols_));
      }
    }
    return OkStatus();
  }

  const Module& module_;
  const Graph& graph_;
  std::vector<std::string> symbols_;
  std::vector<char> defined_;  // by value: may be read
  Names bare_names_, result_names_;
  std::vector<Type> types_;  // of the op at hand, kept for their memory
  std::vector<std::string> operands_;
};

}  // namespace

std::string ShapeProblem(std::span<const int64_t> shape, int element_size, size_t dimension_count) {
  if (shape.size() > kMaxRank) return Cat("it has ", shape.size(), " axes (", kMaxRank, " at most)");
  int64_t bytes = element_size;
  for (int64_t dim : shape) {
    if (IsSymbol(dim)) {
      if (dim < std::numeric_limits<int32_t>::min() || static_cast<size_t>(SymbolIndex(dim)) >= dimension_count) {
        return Cat("dimension ", SymbolIndex(dim), " is not one of the module's ", dimension_count);
      }
      continue;
    }
    if (dim > kMaxDim) return Cat("the dimension ", dim, " is larger than 2^40");
    if (dim != 0 && bytes > kMaxBytes / dim) return "its bytes exceed 2^62";
    if (dim != 0) bytes *= dim;  // not 0: a later axis must not hide behind an empty one
  }
  return "";
}

std::string TypeProblem(const Type& type, size_t dimension_count) {
  if (static_cast<int>(type.dtype) >= kDTypeCount)
    return Cat("there is no element type ", static_cast<int>(type.dtype));
  return ShapeProblem(type.shape, SizeOf(type.dtype), dimension_count);
}

Status Verify(const Module& module) {
  if (!IsName(module.name))
    return InvalidArgument("the module's name ", Quote(module.name), " cannot be held by the text form");
  Names keys, dimensions, states, graphs;
  for (const auto& [key, value] : module.config) RETURN_IF_ERROR(CheckName(keys, "configuration key", key));
  for (const Dimension& dimension : module.dimensions) {
    RETURN_IF_ERROR(CheckName(dimensions, "dimension", dimension.name));
    if (dimension.value != -1 && (dimension.value < 1 || dimension.value > kMaxDim)) {
      return InvalidArgument("dimension ", dimension.name, " = ", dimension.value, " is not a size of 1 to 2^40");
    }
  }
  for (const State& state : module.states) RETURN_IF_ERROR(CheckName(states, "state", state.name));
  absl::flat_hash_set<std::string_view> parameters;
  for (const State& state : module.states) {
    if (state.kind == StateKind::kParameter) parameters.insert(state.name);
  }
  for (const State& state : module.states) RETURN_IF_ERROR(CheckState(module, parameters, state));
  for (const Graph& graph : module.graphs) RETURN_IF_ERROR(CheckName(graphs, "graph", graph.name));
  for (const Graph& graph : module.graphs) RETURN_IF_ERROR(Verify(module, graph));
  return OkStatus();
}

Status Verify(const Module& module, const Graph& graph) { return GraphVerifier(module, graph).Run(); }

}  // namespace gptc
