#include "ir/module.h"

#include <array>

#include "ir/base/infer.h"

namespace gptc {
namespace {

// What a user types to give a dimension its size.
std::string HintFor(std::string_view dimension) {
  static constexpr std::pair<std::string_view, std::string_view> kFlags[] = {
      {"B", "--batch"}, {"T", "--seq"}, {"decode_B", "--decode-batch"}, {"prefill_T", "--prefill"}};
  for (auto [name, flag] : kFlags) {
    if (name == dimension) return Cat("give ", flag);
  }
  return Cat("write 'dim ", dimension, " = …' in the model");
}

Status SetSizes(Module& module, const std::vector<std::pair<std::string, int64_t>>& sizes) {
  for (const auto& [name, size] : sizes) {
    int at = module.FindDimension(name);
    if (at < 0) {
      std::vector<std::string> known = module.Symbols();
      std::string near = Nearest(name, known);
      return InvalidArgument("the model has no dimension '", name, "'",
                             !near.empty()   ? Cat("; did you mean '", near, "'?")
                             : known.empty() ? ""
                                             : Cat("; it has ", Join(known, ", ")));
    }
    if (size < 1) return InvalidArgument("dimension ", name, " has the size ", size, ", it must be 1 or more");
    module.dimensions[at].value = size;
  }
  for (const Dimension& dimension : module.dimensions) {
    if (dimension.value == -1) {
      return InvalidArgument("dimension ", dimension.name, " has no size: ", HintFor(dimension.name));
    }
    if (dimension.value < 1) {
      return InvalidArgument("dimension ", dimension.name, " has the size ", dimension.value, ", it must be 1 or more");
    }
  }
  return OkStatus();
}

class Binder {
 public:
  explicit Binder(Module& module) : module_(module), symbols_(module.Symbols()) {}

  Status Bind() {
    for (State& state : module_.states) {
      if (Status status = BindType(state.type); !status.ok()) {
        return Annotate(status, Cat("state '", state.name, "'"));
      }
    }
    for (Graph& graph : module_.graphs) RETURN_IF_ERROR(BindGraph(graph));
    return OkStatus();
  }

 private:
  Status BindShape(std::vector<int64_t>& shape) {
    for (int64_t& dim : shape) {
      if (!IsSymbol(dim)) continue;
      if (-1 - dim >= static_cast<int64_t>(symbols_.size())) {
        return InvalidArgument("the shape has a dimension that the model does not declare");
      }
      dim = module_.dimensions[SymbolIndex(dim)].value;
    }
    return OkStatus();
  }

  Status BindType(Type& type) {
    RETURN_IF_ERROR(BindShape(type.shape));
    return CheckSize(type);
  }

  Status BindGraph(Graph& graph) {
    for (int id = 0; id < graph.value_count(); ++id) {
      ValueInfo& info = graph.info(Value{id});
      if (Status status = BindType(info.type); !status.ok()) {
        return Annotate(status, Cat("graph '", graph.name, "': ", info.name));
      }
    }
    for (OpNode& node : graph.ops) {
      if (Status status = BindOp(graph, node); !status.ok()) {
        return Annotate(status, node.location.known() ? node.location.Text() : Cat("graph '", graph.name, "'"));
      }
    }
    return OkStatus();
  }

  // Sizes may break what symbols left open, a slice's bounds for one: the op's rule runs again.
  Status BindOp(Graph& graph, OpNode& node) {
    const OpInfo& info = InfoOf(node.op);
    for (const AttributeSpec& spec : info.attributes) {
      if (spec.type != AttributeType::kDims) continue;
      std::vector<int64_t> dims = node.attributes.Ints(spec.name);
      RETURN_IF_ERROR(BindShape(dims));
      node.attributes.Set(spec.name, std::move(dims));
    }
    std::vector<Type> types;
    std::vector<std::string> operands;
    for (Value input : node.inputs) {
      const ValueInfo& value = graph.info(input);
      types.push_back(value.type);
      operands.push_back(value.kind == ValueInfo::Kind::kResult ? Cat("%", value.name) : value.name);
    }
    ASSIGN_OR_RETURN(std::vector<Type> results, InferTypes({info, types, node.attributes, symbols_, operands}));
    for (size_t i = 0; i < results.size() && i < node.results.size(); ++i) {
      const ValueInfo& declared = graph.info(node.results[i]);
      if (results[i] == declared.type) continue;
      return InvalidArgument(info.name, ": %", declared.name, " is declared as ", TypeText(declared.type),
                             ", its operands make it ", TypeText(results[i]));
    }
    return OkStatus();
  }

  Module& module_;
  std::vector<std::string> symbols_;
};

}  // namespace

std::string_view NameOf(StateKind kind) {
  static constexpr std::array<std::string_view, 6> kNames = {"parameter", "optimizer", "gradient",
                                                             "derived",   "cache",     "scalars"};
  return kNames[static_cast<size_t>(kind)];
}

int Module::FindState(std::string_view state_name) const {
  for (size_t i = 0; i < states.size(); ++i) {
    if (states[i].name == state_name) return static_cast<int>(i);
  }
  return -1;
}

int StateIndex::Find(std::string_view state_name) {
  for (; known_ < module_->states.size(); ++known_)
    by_name_.emplace(module_->states[known_].name, static_cast<int>(known_));
  const auto at = by_name_.find(std::string(state_name));
  return at == by_name_.end() ? -1 : at->second;
}

Graph* Module::FindGraph(std::string_view graph_name) {
  for (Graph& graph : graphs) {
    if (graph.name == graph_name) return &graph;
  }
  return nullptr;
}

const Graph* Module::FindGraph(std::string_view graph_name) const {
  return const_cast<Module*>(this)->FindGraph(graph_name);
}

const ConfigValue* Module::FindConfig(std::string_view key) const {
  for (const auto& [name, value] : config) {
    if (name == key) return &value;
  }
  return nullptr;
}

int Module::FindDimension(std::string_view dimension_name) const {
  for (size_t i = 0; i < dimensions.size(); ++i) {
    if (dimensions[i].name == dimension_name) return static_cast<int>(i);
  }
  return -1;
}

std::vector<std::string> Module::Symbols() const {
  std::vector<std::string> names;
  for (const Dimension& dimension : dimensions) names.push_back(dimension.name);
  return names;
}

Status BindDimensions(Module& module, const std::vector<std::pair<std::string, int64_t>>& sizes) {
  RETURN_IF_ERROR(SetSizes(module, sizes));
  return Binder(module).Bind();
}

void RemoveStates(Module& module, const std::vector<bool>& unread) {
  std::vector<int> place;
  std::vector<State> kept;
  for (size_t i = 0; i < module.states.size(); ++i) {
    place.push_back(unread[i] ? -1 : static_cast<int>(kept.size()));
    if (!unread[i]) kept.push_back(std::move(module.states[i]));
  }
  module.states = std::move(kept);
  for (Graph& graph : module.graphs) {
    std::erase_if(graph.stores, [&](const Store& store) { return unread[store.state]; });
    graph.RenumberStates(place);
  }
}

}  // namespace gptc
