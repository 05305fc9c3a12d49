#include "passes/rewriter.h"

#include "ir/base/check.h"

namespace gptc {

std::vector<OpNode> Rewriter::TakeOps() {
  std::vector<OpNode> ops;
  ops.swap(graph_.ops);
  graph_.ops.reserve(ops.size());
  graph_.Renumber();
  return ops;
}

Value Rewriter::Resolve(Value value) const {
  while (value.id < static_cast<int>(replacement_.size()) && replacement_[value.id].valid())
    value = replacement_[value.id];
  return value;
}

void Rewriter::ResolveInputs(OpNode& node) const {
  for (Value& input : node.inputs) input = Resolve(input);
}

int Rewriter::Keep(OpNode node) {
  ResolveInputs(node);
  int index = static_cast<int>(graph_.ops.size());
  for (size_t r = 0; r < node.results.size(); ++r) {
    ValueInfo& info = graph_.info(node.results[r]);
    info.producer = index;
    info.result_index = static_cast<int32_t>(r);
  }
  graph_.ops.push_back(std::move(node));
  return index;
}

void Rewriter::Replace(Value from, Value to) {
  to = Resolve(to);
  CHECK(from != to && graph_.type(from) == graph_.type(to), "a value may only be replaced by another of its type");
  if (replacement_.size() <= static_cast<size_t>(from.id)) replacement_.resize(graph_.value_count());
  replacement_[from.id] = to;
}

OpNode* Rewriter::Producer(Value value) {
  const ValueInfo& info = graph_.info(Resolve(value));
  if (info.kind != ValueInfo::Kind::kResult || info.producer < 0) return nullptr;
  return &graph_.ops[info.producer];
}

GraphBuilder& Rewriter::BuilderFor(const OpNode& origin) {
  builder_.SetLocation(origin.location);
  return builder_;
}

Status Rewriter::Finish() {
  RETURN_IF_ERROR(builder_.Finish());
  for (OpNode& node : graph_.ops) ResolveInputs(node);
  for (Output& output : graph_.outputs) output.value = Resolve(output.value);
  for (Store& store : graph_.stores) store.value = Resolve(store.value);
  graph_.Compact();
  return OkStatus();
}

}  // namespace gptc
