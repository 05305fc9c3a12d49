#include "ir/printer.h"

#include <cmath>
#include <string_view>
#include <vector>

#include "ir/lexer.h"

namespace gptc {
namespace {

AttributeType TypeOf(const AttributeValue& value) { return static_cast<AttributeType>(value.index()); }

class Printer {
 public:
  explicit Printer(const Module& module) : module_(module), symbols_(module.Symbols()) {}

  std::string Take() { return std::move(out_); }

  void PrintWhole() {
    Put("module ", module_.name, " {\n");
    if (!module_.config.empty()) {
      Put("  config { ",
          Join(module_.config, ", ", [](const auto& item) { return Cat(item.first, " = ", ConfigText(item.second)); }),
          " }\n");
    }
    if (!module_.dimensions.empty()) {
      Put("  dim ",
          Join(module_.dimensions, ", ",
               [](const Dimension& d) { return d.value < 0 ? d.name : Cat(d.name, " = ", d.value); }),
          "\n");
    }
    for (const State& state : module_.states) PutState(state);
    for (const Graph& graph : module_.graphs) {
      Put("\n");
      PutGraph(graph);
    }
    Put("}\n");
  }

  void PutGraph(const Graph& graph) {
    Put("  graph ", graph.name, "(");
    for (size_t i = 0; i < graph.inputs.size(); ++i) {
      if (i > 0) Put(", ");
      PutDefinition(graph, graph.inputs[i]);
    }
    Put(") {\n");
    for (const OpNode& node : graph.ops) {
      Put("    ");
      PutOp(graph, node);
      if (node.recomputed) Put(" recomputed");
      const Location& location = node.location;
      if (location.known() && !location.implicit) {
        Put(" at ", IsPlainPath(location.file) ? location.file : Quote(location.file), ":", location.line);
      }
      Put("\n");
    }
    if (!graph.outputs.empty()) {
      Put("    return ",
          Join(graph.outputs, ", ", [&](const Output& o) { return Cat(o.name, " = ", OperandText(graph, o.value)); }),
          "\n");
    }
    if (!graph.stores.empty()) {
      Put("    store ",
          Join(graph.stores, ", ",
               [&](const Store& s) { return Cat(StateName(s.state), " = ", OperandText(graph, s.value)); }),
          "\n");
    }
    Put("  }\n");
  }

  void PutOp(const Graph& graph, const OpNode& node) {
    for (size_t i = 0; i < node.results.size(); ++i) {
      if (i > 0) Put(", ");
      PutDefinition(graph, node.results[i]);
    }
    if (static_cast<int>(node.op) >= kOpCount) {
      Put(" = <op ", static_cast<int>(node.op), ">");
      return;
    }
    const OpInfo& info = InfoOf(node.op);
    Put(" = ", info.name);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      Put(i > 0 ? ", " : " ");
      PutOperand(graph, node.inputs[i]);
    }
    bool first = true;
    for (const auto& [name, value] : node.attributes.items()) {
      const AttributeSpec* spec = info.Attribute(name);
      AttributeType type = spec != nullptr ? spec->type : TypeOf(value);
      std::string text = AttributeText(value, type, symbols_);
      if (spec != nullptr && spec->default_value && AttributeText(*spec->default_value, type, symbols_) == text)
        continue;
      Put(first ? " {" : ", ", name, " = ", text);
      first = false;
    }
    if (!first) Put("}");
  }

 private:
  template <typename... Parts>
  void Put(const Parts&... parts) {
    auto append = [this]<typename T>(const T& part) {
      if constexpr (std::is_convertible_v<const T&, std::string_view>) {
        out_.append(std::string_view(part));
      } else {
        absl::StrAppend(&out_, part);
      }
    };
    (append(parts), ...);
  }

  static std::string ConfigText(const ConfigValue& value) {
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* integer = std::get_if<int64_t>(&value)) return Cat(*integer);
    if (const auto* number = std::get_if<double>(&value)) return DoubleText(*number);
    return Quote(std::get<std::string>(value));
  }

  std::string_view StateName(int state) const {
    return state >= 0 && state < static_cast<int>(module_.states.size()) ? std::string_view(module_.states[state].name)
                                                                         : "<no state>";
  }

  void PutType(const Type& type) {
    if (static_cast<int>(type.dtype) >= kDTypeCount) {
      Put("<no type>");
      return;
    }
    Put(NameOf(type.dtype));
    if (type.shape.empty()) return;
    for (size_t i = 0; i < type.shape.size(); ++i) {
      Put(i > 0 ? ", " : "[");
      if (IsSymbol(type.shape[i])) {
        Put(DimText(type.shape[i], symbols_));
      } else {
        Put(type.shape[i]);
      }
    }
    Put("]");
  }

  void PutOperand(const Graph& graph, Value value) {
    if (!graph.Contains(value)) {
      Put("<no value ", value.id, ">");
      return;
    }
    const ValueInfo& info = graph.info(value);
    if (info.kind == ValueInfo::Kind::kResult) Put("%");
    Put(info.name);
  }

  // "%y: f32[4, 64] @4096", "%y: f32[4, 64] @grad.wte".
  void PutDefinition(const Graph& graph, Value value) {
    PutOperand(graph, value);
    if (!graph.Contains(value)) return;
    const ValueInfo& info = graph.info(value);
    Put(": ");
    PutType(info.type);
    if (info.offset != -1) Put(" @", info.offset);
    if (info.in_state != -1) Put(" @", StateName(info.in_state));
  }

  void PutState(const State& state) {
    const bool parameter = state.kind == StateKind::kParameter;
    Put(parameter ? "  param " : "  state ", state.name, ": ");
    PutType(state.type);
    if (!parameter) Put(" ", NameOf(state.kind));
    if (!state.of.empty()) Put(" of ", state.of);
    if (state.logical_rows != -1) Put(" rows ", state.logical_rows);
    if (state.offset != -1) Put(" @", state.offset);
    if (parameter || state.init.kind != InitRule::Kind::kZeros) {
      switch (state.init.kind) {
        case InitRule::Kind::kZeros:
          Put(" init zeros");
          break;
        case InitRule::Kind::kOnes:
          Put(" init ones");
          break;
        case InitRule::Kind::kNormal:
          Put(" init normal(", DoubleText(state.init.stddev), ")");
          break;
      }
    }
    if (state.decay) Put(" decay");
    for (size_t i = 0; i < state.names.size(); ++i) {
      const ExternalName& external = state.names[i];
      Put(i == 0 ? " names { " : ", ", external.format, " ", Quote(external.name));
      if (external.transposed) Put(" transposed");
      if (external.part != -1) Put(" part ", external.part);
      if (external.tied) Put(" tied");
    }
    if (!state.names.empty()) Put(" }");
    Put("\n");
  }

  const Module& module_;
  std::vector<std::string> symbols_;
  std::string out_;
};

}  // namespace

std::string DoubleText(double value) {
  if (std::isnan(value)) return "nan";
  std::string text = ShortestDouble(value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";  // the n is that of "inf"
  return text;
}

std::string AttributeText(const AttributeValue& value, AttributeType type, std::span<const std::string> symbols) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return Cat(*integer);
  if (const auto* number = std::get_if<double>(&value)) return DoubleText(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return Quote(*text);
  if (const auto* dtype = std::get_if<DType>(&value)) {
    return static_cast<int>(*dtype) < kDTypeCount ? std::string(NameOf(*dtype)) : "<no type>";
  }
  const auto& list = std::get<std::vector<int64_t>>(value);
  return Cat("[",
             Join(list, ", ", [&](int64_t n) { return type == AttributeType::kDims ? DimText(n, symbols) : Cat(n); }),
             "]");
}

std::string OperandText(const Graph& graph, Value value) {
  if (!graph.Contains(value)) return Cat("<no value ", value.id, ">");
  const ValueInfo& info = graph.info(value);
  return info.kind == ValueInfo::Kind::kResult ? Cat("%", info.name) : info.name;
}

std::string PrintModule(const Module& module) {
  Printer printer(module);
  printer.PrintWhole();
  return printer.Take();
}

std::string PrintGraph(const Module& module, const Graph& graph) {
  Printer printer(module);
  printer.PutGraph(graph);
  return printer.Take();
}

std::string PrintOp(const Module& module, const Graph& graph, const OpNode& node) {
  Printer printer(module);
  printer.PutOp(graph, node);
  return printer.Take();
}

}  // namespace gptc
