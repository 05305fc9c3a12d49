#include "ir/dot.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/printer.h"

namespace gptc {
namespace {

// A label in quotes; "\n" in it is a line break.
std::string Label(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

std::string_view ColourOf(std::string_view family) {
  static constexpr std::pair<std::string_view, std::string_view> kColours[] = {
      {"elementwise", "#eceff1"}, {"activation", "#ffe0b2"}, {"movement", "#ffffff"},  {"reduction", "#d7ccc8"},
      {"matmul", "#bbdefb"},      {"norm", "#c8e6c9"},       {"attention", "#d1c4e9"}, {"embedding", "#b2ebf2"},
      {"dropout", "#f0f4c3"},     {"loss", "#ffcdd2"},       {"optimizer", "#f8bbd0"},
  };
  for (const auto& [name, colour] : kColours) {
    if (name == family) return colour;
  }
  return "#ffffff";
}

constexpr int kNoLayer = -1;

// 3 of "h3.qkv.w" and of "m.h3.qkv.w"; kNoLayer where no part of the name is "h" and a number.
int LayerOf(std::string_view name) {
  while (!name.empty()) {
    size_t dot = std::min(name.find('.'), name.size());
    std::string_view part = name.substr(0, dot);
    bool digits = part.size() >= 2 && part.size() <= 6 && part[0] == 'h' &&
                  std::all_of(part.begin() + 1, part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (digits) {
      int layer = 0;
      for (char c : part.substr(1)) layer = layer * 10 + (c - '0');
      return layer;
    }
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return kNoLayer;
}

class DotWriter {
 public:
  DotWriter(const Module& module, const Graph& graph) : module_(module), graph_(graph), symbols_(module.Symbols()) {}

  std::string Run() {
    FindLayers();
    out_ = Cat("digraph ", Label(graph_.name),
               " {\n  rankdir = TB;\n  node [fontname = \"Helvetica\", fontsize = 10];\n"
               "  edge [fontname = \"Helvetica\", fontsize = 8, color = \"#607d8b\"];\n");
    for (const auto& [layer, nodes] : Nodes()) {
      if (layer != kNoLayer)
        out_ += Cat("  subgraph cluster_h", layer, " {\n  label = \"h", layer, "\"; color = \"#b0bec5\";\n");
      out_ += nodes;
      if (layer != kNoLayer) out_ += "  }\n";
    }
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      for (Value input : graph_.ops[i].inputs) Edge(input, Cat("op", i), "");
    }
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      out_ += Cat("  out", i, " [shape = plaintext, label = ", Label(Cat("return ", graph_.outputs[i].name)), "];\n");
      Edge(graph_.outputs[i].value, Cat("out", i), "");
    }
    for (const Store& store : graph_.stores) {
      if (store.state < 0 || store.state >= static_cast<int>(module_.states.size())) continue;
      out_ += Cat("  store", store.state,
                  " [shape = ellipse, style = dashed, label = ", Label(Cat("store ", module_.states[store.state].name)),
                  "];\n");
      Edge(store.value, Cat("store", store.state), ", style = dashed");
    }
    return out_ + "}\n";
  }

 private:
  // An op stands in the layer whose state it reads; one that reads none, in that of the operand made last: in the
  // forward as in the backward that is the side on which the walk has arrived.
  void FindLayers() {
    layers_.assign(graph_.ops.size(), kNoLayer);
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      int latest = -1;
      bool reads_state = false;
      for (Value input : graph_.ops[i].inputs) {
        if (!graph_.Contains(input)) continue;
        const ValueInfo& info = graph_.info(input);
        if (info.kind == ValueInfo::Kind::kState && info.name != "scalars") {
          reads_state = true;
          layers_[i] = std::max(layers_[i], LayerOf(info.name));
        } else if (info.kind == ValueInfo::Kind::kResult && info.producer < static_cast<int>(i)) {
          latest = std::max(latest, info.producer);
        }
      }
      if (!reads_state && latest >= 0) layers_[i] = layers_[latest];
    }
  }

  // Lines of nodes, by layer.
  std::map<int, std::string> Nodes() const {
    std::map<int, std::string> nodes;
    std::vector<int> uses(static_cast<size_t>(graph_.value_count()));
    auto use = [&](Value value) {
      if (graph_.Contains(value)) ++uses[value.id];
    };
    for (const OpNode& node : graph_.ops) std::for_each(node.inputs.begin(), node.inputs.end(), use);
    for (const Output& output : graph_.outputs) use(output.value);
    for (const Store& store : graph_.stores) use(store.value);
    for (int id = 0; id < graph_.value_count(); ++id) {
      const ValueInfo& info = graph_.info(Value{id});
      if (info.kind == ValueInfo::Kind::kResult || (info.kind == ValueInfo::Kind::kState && uses[id] == 0)) continue;
      bool input = info.kind == ValueInfo::Kind::kInput;
      nodes[input ? kNoLayer : LayerOf(info.name)] +=
          Cat("  value", id, " [shape = ellipse, style = filled, fillcolor = \"", input ? "#fff59d" : "#cfd8dc",
              "\", label = ", Label(Cat(info.name, "\n", TypeText(info.type, symbols_))), "];\n");
    }
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      const OpNode& node = graph_.ops[i];
      std::string label = NameOf(node.op);
      for (Value result : node.results) {
        if (graph_.Contains(result))
          label += Cat("\n%", graph_.info(result).name, ": ", TypeText(graph_.type(result), symbols_));
      }
      nodes[layers_[i]] +=
          Cat("  op", i, " [shape = box, style = \"rounded,filled\", fillcolor = \"", ColourOf(InfoOf(node.op).family),
              "\", label = ", Label(label), ", tooltip = ", Label(node.location.Text()), "];\n");
    }
    return nodes;
  }

  void Edge(Value from, std::string_view to, std::string_view style) {
    if (!graph_.Contains(from)) return;
    const ValueInfo& info = graph_.info(from);
    if (info.kind == ValueInfo::Kind::kResult && info.producer < 0) return;
    std::string source = info.kind == ValueInfo::Kind::kResult ? Cat("op", info.producer) : Cat("value", from.id);
    out_ += Cat("  ", source, " -> ", to, " [label = ", Label(ShapeText(info.type.shape, symbols_)), style, "];\n");
  }

  const Module& module_;
  const Graph& graph_;
  std::vector<std::string> symbols_;
  std::vector<int> layers_;  // by op
  std::string out_;
};

}  // namespace

std::string DotOfGraph(const Module& module, const Graph& graph) { return DotWriter(module, graph).Run(); }

}  // namespace gptc
