#include "passes/plan_memory.h"

#include <algorithm>
#include <map>

#include "ir/base/check.h"
#include "ir/base/target.h"
#include "passes/place_lifetimes.h"
#include "passes/rewriter.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

constexpr int64_t kAlignment = 64;

int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// A block of memory that several values share one after another. `state` >= 0: the state's memory.
struct Block {
  int begin = 0;
  int end = 0;
  int64_t bytes = 0;
  int state = -1;
};

// The value in whose memory `value` lies.
Value BehindViews(const Graph& graph, Value value) {
  while (true) {
    const ValueInfo& info = graph.info(value);
    if (info.kind != ValueInfo::Kind::kResult || InfoOf(graph.ops[info.producer].op).execution != Execution::kView)
      return value;
    value = graph.ops[info.producer].inputs[0];
  }
}

// Decides which values of a graph share a block. Steps are numbered 0..n-1 by op; inputs begin at -1; outputs end at n.
class BlockAssigner {
 public:
  BlockAssigner(const Module& module, const Graph& graph)
      : module_(module),
        graph_(graph),
        last_use_(graph.value_count(), -1),
        stored_(graph.value_count()),
        block_of_(graph.value_count(), -1),
        wanted_(graph.value_count(), -1) {
    for (int id = 0; id < graph.value_count(); ++id) behind_views_.push_back(Value{id});
    for (const OpNode& node : graph.ops) {
      if (InfoOf(node.op).execution != Execution::kView) continue;
      behind_views_[node.results[0].id] = behind_views_[node.inputs[0].id];
    }
  }

  void Run() {
    int count = static_cast<int>(graph_.ops.size());
    for (int i = 0; i < count; ++i) {
      for (Value input : graph_.ops[i].inputs) last_use_[input.id] = i;
    }
    for (const Output& output : graph_.outputs) last_use_[output.value.id] = count;
    ExtendThroughViews();
    for (const Store& store : graph_.stores) stored_[BehindViews(store.value).id] = true;
    for (const Store& store : graph_.stores) Donate(store);
    for (const Store& store : graph_.stores) last_use_[store.value.id] = count;
    ExtendThroughViews();

    for (Value input : graph_.inputs) NewBlock(input, -1);
    for (int id = 0; id < graph_.value_count(); ++id) {
      const ValueInfo& info = graph_.info(Value{id});
      if (info.kind == ValueInfo::Kind::kState) block_of_[id] = StateBlock(info.producer);
    }
    for (int i = 0; i < count; ++i) {
      const OpNode& node = graph_.ops[i];
      for (size_t r = 0; r < node.results.size(); ++r) Place(node, r, i);
    }
  }

  const std::vector<Block>& blocks() const { return blocks_; }
  int BlockOf(Value value) const { return block_of_[value.id]; }

 private:
  // A view's readers read its operand.
  void ExtendThroughViews() {
    for (auto node = graph_.ops.rbegin(); node != graph_.ops.rend(); ++node) {
      if (InfoOf(node->op).execution != Execution::kView) continue;
      int& of = last_use_[node->inputs[0].id];
      of = std::max(of, last_use_[node->results[0].id]);
    }
  }

  Value BehindViews(Value value) const { return behind_views_[value.id]; }

  // Wants the stored value, and the operands it may be written over, in the state's memory, as far back as that is
  // legal: nothing may read the old content after the first of them is written (the op that writes it may, where it may
  // write in place).
  void Donate(const Store& store) {
    Value old = graph_.FindState(store.state);
    int old_last = old.valid() ? last_use_[old.id] : -1;
    Value value = BehindViews(store.value);
    if (graph_.info(value).kind != ValueInfo::Kind::kResult ||
        last_use_[value.id] == static_cast<int>(graph_.ops.size()))
      return;
    while (value.valid()) {
      const ValueInfo& info = graph_.info(value);
      if (info.kind != ValueInfo::Kind::kResult || wanted_[value.id] >= 0) return;
      const OpNode& node = graph_.ops[info.producer];
      if (InfoOf(node.op).execution == Execution::kView) return;
      bool reads_old = std::find_if(node.inputs.begin(), node.inputs.end(),
                                    [&](Value v) { return BehindViews(v) == old; }) != node.inputs.end();
      if (old_last > info.producer ||
          (old_last == info.producer && reads_old && !MayAlias(node, info.result_index, old)))
        return;
      wanted_[value.id] = store.state;
      Value next;
      for (int input : InfoOf(node.op).AliasCandidates(info.result_index, node.inputs.size())) {
        Value candidate = node.inputs[input];
        const ValueInfo& candidate_info = graph_.info(candidate);
        if (candidate_info.kind == ValueInfo::Kind::kResult && candidate_info.type == info.type &&
            last_use_[candidate.id] == info.producer && !stored_[candidate.id] &&
            MayAlias(node, info.result_index, candidate)) {
          next = candidate;
          break;
        }
      }
      value = next;
    }
  }

  // Whether the op may write this result over the memory of `operand`, which has its type: it may over every place
  // where it takes the operand, and takes nothing else that lies there.
  bool MayAlias(const OpNode& node, int result, Value operand) const {
    if (graph_.type(node.results[result]) != graph_.type(operand)) return false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (BehindViews(node.inputs[i]) != BehindViews(operand)) continue;
      if (node.inputs[i] != operand || !InfoOf(node.op).MayAlias(result, i)) return false;
    }
    return true;
  }

  int StateBlock(int state) {
    auto [at, made] = state_blocks_.try_emplace(state, static_cast<int>(blocks_.size()));
    if (made) blocks_.push_back({0, 0, 0, state});
    return at->second;
  }

  void NewBlock(Value value, int begin) {
    block_of_[value.id] = static_cast<int>(blocks_.size());
    blocks_.push_back({begin, std::max(begin, last_use_[value.id]), ByteCount(graph_.type(value)), -1});
  }

  void Place(const OpNode& node, size_t r, int step) {
    Value result = node.results[r];
    if (InfoOf(node.op).execution == Execution::kView) {
      block_of_[result.id] = block_of_[node.inputs[0].id];
      return;
    }
    if (wanted_[result.id] >= 0) {
      block_of_[result.id] = StateBlock(wanted_[result.id]);
      return;
    }
    for (int input : InfoOf(node.op).AliasCandidates(r, node.inputs.size())) {
      Value operand = node.inputs[input];
      int block = block_of_[operand.id];
      if (graph_.type(operand) != graph_.type(result) || blocks_[block].state >= 0 || blocks_[block].end != step ||
          TakenByAnother(node, r, block) || !MayAlias(node, static_cast<int>(r), operand)) {
        continue;
      }
      block_of_[result.id] = block;
      blocks_[block].end = std::max(step, last_use_[result.id]);
      return;
    }
    NewBlock(result, step);
  }

  // Whether an earlier result of the op lies in the block.
  bool TakenByAnother(const OpNode& node, size_t r, int block) const {
    for (size_t i = 0; i < r; ++i) {
      if (block_of_[node.results[i].id] == block) return true;
    }
    return false;
  }

  const Module& module_;
  const Graph& graph_;
  std::vector<int> last_use_;        // by value: the last step that reads it, or a view of it
  std::vector<bool> stored_;         // by value: a store wants it, or a view of it, at the end
  std::vector<int> block_of_;        // by value
  std::vector<int> wanted_;          // by value: the state in whose memory it shall lie
  std::vector<Value> behind_views_;  // by value; found once, as ops of all parameters have thousands of operands
  std::vector<Block> blocks_;
  std::map<int, int> state_blocks_;
};

// A copy at the graph's end. It has the line that made the value, where that is known: no line of the model asked for
// it.
StatusOr<Value> AppendCopy(Module& module, Graph& graph, Value value) {
  GraphBuilder builder(module, graph);
  Value copy = builder.Copy({&builder, value}).value;
  RETURN_IF_ERROR(builder.Finish());
  const ValueInfo& info = graph.info(value);
  graph.ops.back().location = info.kind == ValueInfo::Kind::kResult ? graph.ops[info.producer].location : Location{};
  return copy;
}

// What lies in the memory of a state or an input and is to outlast the run gets a copy of its own: every store of such
// a value, or of one stored already, and every output that is the old content of a state that the graph stores to.
Status CopyWhatOutlasts(Module& module, Graph& graph) {
  std::vector<bool> stored(graph.value_count()), replaced(module.states.size());
  for (Store& store : graph.stores) {
    replaced[store.state] = true;
    const bool own = graph.info(BehindViews(graph, store.value)).kind == ValueInfo::Kind::kResult;
    if (own && !stored[store.value.id]) {
      stored[store.value.id] = true;
      continue;
    }
    ASSIGN_OR_RETURN(store.value, AppendCopy(module, graph, store.value));
  }
  for (Output& output : graph.outputs) {
    const ValueInfo& info = graph.info(BehindViews(graph, output.value));
    if (info.kind != ValueInfo::Kind::kState || !replaced[info.producer]) continue;
    ASSIGN_OR_RETURN(output.value, AppendCopy(module, graph, output.value));
  }
  return OkStatus();
}

std::vector<Lifetime> ArenaLifetimes(const std::vector<Block>& blocks, std::vector<int>& arena_index) {
  std::vector<Lifetime> lifetimes;
  for (const Block& block : blocks) {
    arena_index.push_back(block.state >= 0 ? -1 : static_cast<int>(lifetimes.size()));
    if (block.state < 0) lifetimes.push_back({block.begin, block.end, block.bytes});
  }
  return lifetimes;
}

// Sums of sizes below stay far from the end of 64 bits.
constexpr double kMostBytes = double{int64_t{1} << 50};

Status CheckSize(std::string_view what, double bytes) {
  if (bytes <= kMostBytes) return OkStatus();
  return InvalidArgument(what, " would take more than 1 PiB; compile with a smaller --batch or --seq");
}

Status CheckSizes(const Module& module) {
  double states = 0;
  for (const State& state : module.states) states += static_cast<double>(ByteCount(state.type));
  RETURN_IF_ERROR(CheckSize("the states", states));
  for (const Graph& graph : module.graphs) {
    double values = 0;
    for (int id = 0; id < graph.value_count(); ++id) values += static_cast<double>(ByteCount(graph.type(Value{id})));
    RETURN_IF_ERROR(CheckSize(Cat("graph ", graph.name), values));
  }
  return OkStatus();
}

}  // namespace

Status PlanMemory(Module& module, PassContext& context) {
  RETURN_IF_ERROR(CheckSizes(module));
  int64_t at = 0;
  for (State& state : module.states) {
    state.offset = at;
    at += Aligned(ByteCount(state.type));
  }
  for (Graph& graph : module.graphs) {
    RETURN_IF_ERROR(CopyWhatOutlasts(module, graph));
    BlockAssigner assigner(module, graph);
    assigner.Run();
    std::vector<int> arena_index;
    Placement placement = PlaceLifetimes(ArenaLifetimes(assigner.blocks(), arena_index), kAlignment);
    for (int id = 0; id < graph.value_count(); ++id) {
      ValueInfo& info = graph.info(Value{id});
      int block = assigner.BlockOf(Value{id});
      if (info.kind == ValueInfo::Kind::kState || block < 0) continue;
      info.in_state = assigner.blocks()[block].state;
      info.offset = info.in_state >= 0 ? -1 : placement.offsets[arena_index[block]];
    }
    context.Done({}, Cat(graph.name, ": arena ", HumanBytes(placement.peak), ", at least ",
                         HumanBytes(placement.lower_bound), " for what lives at once"));
  }
  return OkStatus();
}

MemorySummary SummarizeMemory(const Module& module, const Graph& graph) {
  BlockAssigner assigner(module, graph);
  assigner.Run();
  std::vector<int> arena_index;
  MemorySummary summary;
  std::vector<std::pair<int, int64_t>> events;
  for (const Block& block : assigner.blocks()) {
    if (block.state >= 0) continue;
    events.emplace_back(block.begin, Aligned(block.bytes));
    events.emplace_back(block.end + 1, -Aligned(block.bytes));
  }
  std::sort(events.begin(), events.end());
  int64_t alive = 0;
  for (const auto& [step, change] : events) summary.lower_bound = std::max(summary.lower_bound, alive += change);
  for (int id = 0; id < graph.value_count(); ++id) {
    const ValueInfo& info = graph.info(Value{id});
    if (info.offset >= 0)
      summary.arena_bytes = std::max(summary.arena_bytes, info.offset + Aligned(ByteCount(info.type)));
  }
  return summary;
}

StatusOr<MemoryNeed> PlannedMemory(Module module, const PassContext& context) {
  PassContext inner(context.options());
  bool planned = false;
  for (const Pass& pass : context.remaining()) {
    RETURN_IF_ERROR(pass.run(module, inner));
    planned |= pass.run == &PlanMemory;
  }
  if (!planned) RETURN_IF_ERROR(PlanMemory(module, inner));
  const std::string& target = context.options().target;
  MemoryNeed need{.states = StateBytes(module)};
  for (const Graph& graph : module.graphs) {
    for (int id = 0; id < graph.value_count(); ++id) {
      const ValueInfo& info = graph.info(Value{id});
      if (info.offset >= 0) need.arena = std::max(need.arena, info.offset + Aligned(ByteCount(info.type)));
    }
    for (const OpNode& node : graph.ops) {
      std::vector<Type> inputs, results;
      for (Value input : node.inputs) inputs.push_back(graph.type(input));
      for (Value result : node.results) results.push_back(graph.type(result));
      need.workspace =
          std::max(need.workspace,
                   WorkspaceOf(node.op, inputs, results, node.attributes, target).Bytes(context.options().threads));
    }
  }
  return need;
}

int64_t StateBytes(const Module& module) {
  int64_t bytes = 0;
  for (const State& state : module.states) bytes = std::max(bytes, state.offset + Aligned(ByteCount(state.type)));
  return bytes;
}

}  // namespace gptc
