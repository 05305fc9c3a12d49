// A Graph is a straight list of ops in SSA form. Values are dense integer handles into the graph's arrays; the order of
// the ops is the order of execution. Passes build a new op list (rewriter.h); nothing here holds pointers into a graph.
#ifndef GPTC_IR_GRAPH_H_
#define GPTC_IR_GRAPH_H_

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ir/base/attributes.h"
#include "ir/base/op_table.h"
#include "ir/base/type.h"

namespace gptc {

// Handle of a value of one graph.
struct Value {
  int32_t id = -1;
  bool valid() const { return id >= 0; }
  auto operator<=>(const Value&) const = default;
};

// Where an op was written: the line of the model's source that made it, or the line of the text that it was parsed
// from.
struct Location {
  std::string file;
  int line = 0;
  // Read from a text that does not say `at file:line` itself: useful in messages, not printed.
  bool implicit = false;
  bool known() const { return line > 0; }
  std::string Text() const { return known() ? Cat(file, ":", line) : ""; }
};

struct ValueInfo {
  enum class Kind : uint8_t { kInput, kState, kResult };
  Type type;
  std::string name;  // unique in its graph; of a state: the state's name
  Kind kind = Kind::kResult;
  int32_t producer =
      -1;  // kInput: its place among the inputs; kState: index into Module::states; kResult: index into ops
  int32_t result_index = 0;  // kResult: which result of the producer
  // Once memory is planned: bytes into the arena, or the state in whose memory the value lies. A state's own value has
  // neither.
  int64_t offset = -1;
  int32_t in_state = -1;
};

struct OpNode {
  Op op;
  std::vector<Value> inputs;
  std::vector<Value> results;
  Attributes attributes;  // complete: defaults are filled in
  Location location;
  // A clone that computes again what an earlier op computed, to save memory: printed, and no two ops are made one again
  // over it.
  bool recomputed = false;
};

struct Output {
  std::string name;
  Value value;
};

// At its end a graph leaves `value` in the state: the functional update of a state that it took in.
struct Store {
  int state = -1;  // index into Module::states
  Value value;
};

class Graph {
 public:
  explicit Graph(std::string graph_name) : name(std::move(graph_name)) {}

  std::string name;
  std::vector<Value> inputs;  // kInput values, in order
  std::vector<OpNode> ops;
  std::vector<Output> outputs;
  std::vector<Store> stores;

  const ValueInfo& info(Value value) const { return values_[value.id]; }
  ValueInfo& info(Value value) { return values_[value.id]; }
  const Type& type(Value value) const { return values_[value.id].type; }
  int value_count() const { return static_cast<int>(values_.size()); }
  bool Contains(Value value) const { return value.id >= 0 && value.id < value_count(); }

  Value AddInput(std::string input_name, Type type);
  // The value that reads state `state`, made on first use. `state_name` and `type` are the state's.
  Value StateValue(int state, const std::string& state_name, const Type& type);
  // Null value where the graph does not read that state.
  Value FindState(int state) const;
  // Appends an op with results of these types. Result names are `hint` made unique ("x", "x_2"), or numbers where it is
  // empty. Does not infer or check types: GraphBuilder and the parser do. The reference is valid until the next op is
  // added.
  OpNode& AddOp(Op op, std::vector<Value> op_inputs, Attributes attributes, std::span<const Type> result_types,
                Location location, std::span<const std::string> hints = {});

  // A name no other value of this graph has, made from `hint`.
  std::string UniqueName(std::string_view hint);
  Value FindValue(std::string_view value_name) const;
  // Gives an op's result the name `hint`, made unique. REQUIRES: value is a result, hint is not empty.
  void Rename(Value value, std::string_view hint);

  // How many times each value is used: by ops, outputs and stores.
  std::vector<int> UseCounts() const;
  // After ops were moved, removed or exchanged: sets the producers of all results again.
  // Results of removed ops keep their ValueInfo with producer -1.
  void Renumber();
  // Drops values that no op, input, output or store mentions any longer, and renumbers. Handles change.
  void Compact();
  // After states were removed from the module: `place[i]` is where state i stands now, -1 for one that is gone.
  // REQUIRES: the graph neither reads nor stores those.
  void RenumberStates(const std::vector<int>& place);

 private:
  Value Add(ValueInfo info);
  std::vector<ValueInfo> values_;
  absl::flat_hash_map<std::string, Value> by_name_;
  absl::flat_hash_map<int, Value> by_state_;
  int next_number_ = 0;
};

}  // namespace gptc

#endif  // GPTC_IR_GRAPH_H_
