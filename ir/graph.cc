#include "ir/graph.h"

#include "ir/base/check.h"

namespace gptc {

Value Graph::Add(ValueInfo info) {
  Value value{value_count()};
  by_name_[info.name] = value;
  values_.push_back(std::move(info));
  return value;
}

Value Graph::AddInput(std::string input_name, Type type) {
  Value value =
      Add({std::move(type), std::move(input_name), ValueInfo::Kind::kInput, static_cast<int32_t>(inputs.size())});
  inputs.push_back(value);
  return value;
}

Value Graph::StateValue(int state, const std::string& state_name, const Type& type) {
  auto at = by_state_.find(state);
  if (at != by_state_.end()) return at->second;
  Value value = Add({type, state_name, ValueInfo::Kind::kState, state});
  by_state_[state] = value;
  return value;
}

Value Graph::FindState(int state) const {
  auto at = by_state_.find(state);
  return at == by_state_.end() ? Value{} : at->second;
}

OpNode& Graph::AddOp(Op op, std::vector<Value> op_inputs, Attributes attributes, std::span<const Type> result_types,
                     Location location, std::span<const std::string> hints) {
  OpNode node{op, std::move(op_inputs), {}, std::move(attributes), std::move(location)};
  for (size_t i = 0; i < result_types.size(); ++i) {
    std::string result_name = UniqueName(i < hints.size() ? std::string_view(hints[i]) : std::string_view());
    node.results.push_back(Add({result_types[i], std::move(result_name), ValueInfo::Kind::kResult,
                                static_cast<int32_t>(ops.size()), static_cast<int32_t>(i)}));
  }
  ops.push_back(std::move(node));
  return ops.back();
}

std::string Graph::UniqueName(std::string_view hint) {
  if (hint.empty()) {
    std::string numbered;
    do numbered = Cat(next_number_++);
    while (by_name_.contains(numbered));
    return numbered;
  }
  std::string candidate(hint);
  for (int suffix = 2; by_name_.contains(candidate); ++suffix) candidate = Cat(hint, "_", suffix);
  return candidate;
}

Value Graph::FindValue(std::string_view value_name) const {
  auto at = by_name_.find(std::string(value_name));
  return at == by_name_.end() ? Value{} : at->second;
}

void Graph::Rename(Value value, std::string_view hint) {
  ValueInfo& renamed = info(value);
  CHECK(renamed.kind == ValueInfo::Kind::kResult && !hint.empty());
  by_name_.erase(renamed.name);
  renamed.name = UniqueName(hint);
  by_name_[renamed.name] = value;
}

std::vector<int> Graph::UseCounts() const {
  std::vector<int> uses(values_.size());
  for (const OpNode& node : ops) {
    for (Value input : node.inputs) ++uses[input.id];
  }
  for (const Output& output : outputs) ++uses[output.value.id];
  for (const Store& store : stores) ++uses[store.value.id];
  return uses;
}

void Graph::Renumber() {
  for (ValueInfo& info : values_) {
    if (info.kind == ValueInfo::Kind::kResult) info.producer = -1;
  }
  for (size_t i = 0; i < ops.size(); ++i) {
    for (size_t r = 0; r < ops[i].results.size(); ++r) {
      ValueInfo& info = values_[ops[i].results[r].id];
      info.producer = static_cast<int32_t>(i);
      info.result_index = static_cast<int32_t>(r);
    }
  }
}

void Graph::Compact() {
  Renumber();
  std::vector<int> uses = UseCounts();
  std::vector<Value> moved(values_.size());
  std::vector<ValueInfo> kept;
  by_name_.clear();
  by_state_.clear();
  for (size_t i = 0; i < values_.size(); ++i) {
    ValueInfo& info = values_[i];
    bool keep = info.kind == ValueInfo::Kind::kInput || (info.kind == ValueInfo::Kind::kState && uses[i] > 0) ||
                (info.kind == ValueInfo::Kind::kResult && info.producer >= 0);
    if (!keep) {
      CHECK(uses[i] == 0, "value ", info.name, " is used but has no producer");
      continue;
    }
    moved[i] = Value{static_cast<int32_t>(kept.size())};
    by_name_[info.name] = moved[i];
    if (info.kind == ValueInfo::Kind::kState) by_state_[info.producer] = moved[i];
    kept.push_back(std::move(info));
  }
  values_ = std::move(kept);
  auto move = [&](Value& value) { value = moved[value.id]; };
  for (Value& input : inputs) move(input);
  for (OpNode& node : ops) {
    for (Value& input : node.inputs) move(input);
    for (Value& result : node.results) move(result);
  }
  for (Output& output : outputs) move(output.value);
  for (Store& store : stores) move(store.value);
}

void Graph::RenumberStates(const std::vector<int>& place) {
  Compact();
  by_state_.clear();
  for (int id = 0; id < value_count(); ++id) {
    ValueInfo& info = values_[id];
    if (info.kind != ValueInfo::Kind::kState) continue;
    CHECK(place[info.producer] >= 0, "state ", info.name, " was removed and is read");
    info.producer = place[info.producer];
    by_state_[info.producer] = Value{id};
  }
  for (Store& store : stores) {
    CHECK(place[store.state] >= 0, "a state was removed and is stored");
    store.state = place[store.state];
  }
}

}  // namespace gptc
