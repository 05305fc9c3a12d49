// A Module is a model: its configuration, dimensions, states (parameters and what training adds to them) and the graphs
// that share them.
#ifndef GPTC_IR_MODULE_H_
#define GPTC_IR_MODULE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ir/base/status.h"
#include "ir/base/type.h"
#include "ir/graph.h"

namespace gptc {

enum class StateKind : uint8_t {
  kParameter,
  kOptimizer,  // AdamW's moments
  kGradient,   // f32 sums over tokens
  kDerived,    // rebuilt from parameters by `prepare`; never saved
  kCache,      // keys and values of generation; never saved
  kScalars,    // the run-time scalars of a step (ir/base/scalars.h)
};
// "parameter", "optimizer", ...
std::string_view NameOf(StateKind kind);

struct InitRule {
  enum class Kind : uint8_t { kZeros, kOnes, kNormal } kind = Kind::kZeros;
  double stddev = 0;  // kNormal: N(0, stddev)
  bool operator==(const InitRule&) const = default;
};

// What a parameter is called in a foreign file format ("hf", "gguf", "llmc").
struct ExternalName {
  std::string format;
  std::string name;
  bool transposed = false;  // a matrix stored [out, in] there
  int64_t part = -1;  // the part-th of equal parts along a leading axis there (llm.c keeps all layers in one tensor)
  bool tied = false;  // another name of the same weights: read where it stands alone, never written
  bool operator==(const ExternalName&) const = default;
};

struct State {
  std::string name;
  Type type;
  StateKind kind = StateKind::kParameter;
  InitRule init;
  bool decay = false;         // parameters: weight decay applies
  int64_t logical_rows = -1;  // where the first axis is padded: how many of its rows exist outside the plan
  std::string of;             // optimizer, gradient, derived: the parameter it belongs to
  std::vector<ExternalName> names;
  int64_t offset = -1;  // bytes into the state region, once planned
};

struct Dimension {
  std::string name;
  int64_t value = -1;  // default or bound size; -1: unbound
};

using ConfigValue = std::variant<bool, int64_t, double, std::string>;

struct Module {
  std::string name;
  std::vector<std::pair<std::string, ConfigValue>> config;
  std::vector<Dimension> dimensions;
  std::vector<State> states;
  std::vector<Graph> graphs;
  std::string source;       // the text it was parsed from
  std::string source_name;  // the file of that text, for messages

  int FindState(std::string_view state_name) const;  // -1 where there is none; linear: see StateIndex
  Graph* FindGraph(std::string_view graph_name);
  const Graph* FindGraph(std::string_view graph_name) const;
  const ConfigValue* FindConfig(std::string_view key) const;
  int FindDimension(std::string_view dimension_name) const;
  std::vector<std::string> Symbols() const;  // the dimensions' names, in order
  // The value of graph that reads states[state].
  Value StateValue(Graph& graph, int state) const {
    return graph.StateValue(state, states[state].name, states[state].type);
  }
};

// Finds states by name in constant time. States may be added meanwhile, at the end; none may go or change its name.
class StateIndex {
 public:
  explicit StateIndex(const Module& module) : module_(&module) {}
  int Find(std::string_view state_name);  // -1 where there is none

 private:
  const Module* module_;
  absl::flat_hash_map<std::string, int> by_name_;
  size_t known_ = 0;  // so many states are in by_name_
};

// Replaces every symbol by its dimension's size. Sizes given here go before defaults. Errors: a dimension without a
// size, an unknown name, a size below 1 or so large that a tensor's bytes would not fit 63 bits.
Status BindDimensions(Module& module, const std::vector<std::pair<std::string, int64_t>>& sizes);

// Removes the states for which `unread` is set, with the stores to them. REQUIRES: no graph reads them.
void RemoveStates(Module& module, const std::vector<bool>& unread);

}  // namespace gptc

#endif  // GPTC_IR_MODULE_H_
