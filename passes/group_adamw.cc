#include "passes/group_adamw.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ir/base/target.h"

namespace gptc {
namespace {

// Ops of one graph, by their places in it.
struct Member {
  int adamw = -1;
  int copy = -1;  // the cast of its new parameter to bf16; -1: none
};

class Grouping {
 public:
  Grouping(Graph& graph, PassContext& context) : graph_(graph), context_(context) {}

  void Run() {
    graph_.Renumber();
    const int count = static_cast<int>(graph_.ops.size());
    for (int i = 0; i < count; ++i) Find(i);
    std::vector<OpNode> groups(count);
    std::vector<bool> first(count), gone(count);
    for (const std::vector<Member>& members : groups_) {
      if (members.size() == 1 && members[0].copy < 0) continue;
      first[members[0].adamw] = true;
      groups[members[0].adamw] = Grouped(members);
      for (const Member& member : members) {
        gone[member.adamw] = true;
        if (member.copy >= 0) gone[member.copy] = true;
      }
    }
    std::vector<OpNode> ops;
    for (int i = 0; i < count; ++i) {
      if (first[i]) ops.push_back(std::move(groups[i]));
      if (!gone[i]) ops.push_back(std::move(graph_.ops[i]));
    }
    graph_.ops = std::move(ops);
    graph_.Compact();
  }

 private:
  void Find(int i) {
    const OpNode& node = graph_.ops[i];
    if (node.op == Op::kCast && node.attributes.Dtype("to") == DType::kBF16) {
      const auto of = by_param_.find(node.inputs[0].id);
      if (of == by_param_.end()) return;
      Member& member = groups_[of->second.first][of->second.second];
      if (member.copy < 0) member.copy = i;
    }
    if (node.op != Op::kAdamW) return;
    const std::pair<int, int> key = {node.inputs[4].id, node.inputs[5].id};
    const auto [at, is_first] = by_norm_.try_emplace(key, static_cast<int>(groups_.size()));
    if (is_first) groups_.emplace_back();
    std::vector<Member>& members = groups_[at->second];
    for (const Value input : node.inputs) {
      const ValueInfo& info = graph_.info(input);
      if (is_first || info.kind != ValueInfo::Kind::kResult || info.producer < members[0].adamw) continue;
      context_.Missed(node.location, Cat(graph_.name, ": AdamW of ", ParameterOf(node), " is a launch of its own: %",
                                         info.name, " is made after the first AdamW"));
      return;
    }
    by_param_[node.results[0].id] = {at->second, static_cast<int>(members.size())};
    members.push_back({.adamw = i});
  }

  const std::string& ParameterOf(const OpNode& adamw) const { return graph_.info(adamw.inputs[0]).name; }

  OpNode Grouped(const std::vector<Member>& members) {
    const OpNode& first = graph_.ops[members[0].adamw];
    OpNode group;
    group.op = Op::kAdamWGroup;
    group.location = first.location;
    group.inputs = {first.inputs[4], first.inputs[5]};
    std::string decay, copies;
    for (const Member& member : members) {
      const OpNode& node = graph_.ops[member.adamw];
      group.inputs.insert(group.inputs.end(), {node.inputs[0], node.inputs[2], node.inputs[3]});
      group.results.insert(group.results.end(), node.results.begin(), node.results.end());
      decay.push_back(node.attributes.Bool("decay") ? '1' : '0');
      copies.push_back(member.copy >= 0 ? '1' : '0');
      context_.Done(node.location, Cat(graph_.name, ": AdamW of ", ParameterOf(node), " in one launch for ",
                                       members.size(), members.size() == 1 ? " parameter" : " parameters",
                                       member.copy >= 0 ? ", with the bf16 copy" : ""));
    }
    for (const Member& member : members) {
      group.inputs.push_back(graph_.ops[member.adamw].inputs[1]);
      if (member.copy >= 0) group.results.push_back(graph_.ops[member.copy].results[0]);
    }
    group.attributes = {{"decay", std::move(decay)}, {"copies", std::move(copies)}};
    return group;
  }

  Graph& graph_;
  PassContext& context_;
  std::vector<std::vector<Member>> groups_;
  std::map<std::pair<int, int>, int> by_norm_;   // norm and scalars: the group
  std::map<int, std::pair<int, int>> by_param_;  // the new parameter: group and member
};

}  // namespace

Status GroupAdamW(Module& module, PassContext& context) {
  if (!IsCuda(context.options().target)) return OkStatus();
  for (Graph& graph : module.graphs) Grouping(graph, context).Run();
  return OkStatus();
}

}  // namespace gptc
