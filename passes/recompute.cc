#include "passes/recompute.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "passes/operation_counts.h"
#include "passes/plan_memory.h"

namespace gptc {
namespace {

// Ops that are chosen together: one whose results the backward reads, and those it needs that nothing holds.
struct Choice {
  std::vector<int> ops;
  int64_t bytes = 0;  // no longer held, less what is held instead
  double seconds = 0;
};

// A micro-step, its forward and its backward told apart.
class Forward {
 public:
  explicit Forward(const Graph& graph) : graph_(graph) {
    FindTurn();
    FindUses();
    FindCuts();
  }

  // All that can be chosen, the cheapest for its bytes first. Any first part of it can be had without the rest.
  std::vector<Choice> Order() {
    std::vector<Choice> order;
    while (true) {
      Choice best;
      for (int i = 0; i <= turn_; ++i) {
        if (chosen_[i] || !Saved(i)) continue;
        Choice choice;
        if (!Add(i, choice) || choice.bytes <= 0 || choice.bytes * 10000 < held_bytes_) continue;
        // Only what is cheaper by more than rounding comes before an op that stands earlier.
        if (best.ops.empty() || choice.seconds / static_cast<double>(choice.bytes) <
                                    best.seconds / static_cast<double>(best.bytes) * (1 - 1e-9))
          best = std::move(choice);
      }
      if (best.ops.empty()) return order;
      for (int op : best.ops) {
        chosen_[op] = true;
        for (Value input : graph_.ops[op].inputs) held_[Root(input).id] = true;
      }
      order.push_back(std::move(best));
    }
  }

  double StepSeconds() const {
    double seconds = 0;
    for (const OpNode& node : graph_.ops) seconds += NominalSeconds(CountOperations(graph_, node));
    return seconds;
  }
  int turn() const { return turn_; }

 private:
  // The value behind views.
  Value Root(Value value) const {
    while (true) {
      const int producer = ProducerOf(value);
      if (producer < 0 || InfoOf(graph_.ops[producer].op).execution != Execution::kView) return value;
      value = graph_.ops[producer].inputs[0];
    }
  }
  int ProducerOf(Value value) const {
    const ValueInfo& info = graph_.info(value);
    return info.kind == ValueInfo::Kind::kResult ? info.producer : -1;
  }

  // The last op that an output needs: the loss. The backward stands behind it.
  void FindTurn() {
    for (const Output& output : graph_.outputs) turn_ = std::max(turn_, ProducerOf(output.value));
  }

  void FindUses() {
    const int count = static_cast<int>(graph_.ops.size());
    last_forward_.resize(graph_.value_count(), -1);
    first_backward_.resize(graph_.value_count(), count);
    std::vector<int> last(graph_.value_count(), -1);
    for (int i = 0; i < count; ++i) {
      for (Value input : graph_.ops[i].inputs) {
        const int root = Root(input).id;
        last[root] = i;
        if (InfoOf(graph_.ops[i].op).execution == Execution::kView) continue;
        if (i <= turn_) {
          last_forward_[root] = i;
        } else {
          first_backward_[root] = std::min(first_backward_[root], i);
        }
      }
    }
    // What is alive, in-place results aside: a value that is not alive where most is is not worth giving up.
    absorbed_ = AbsorbedByStores();
    alive_.resize(count + 1);
    for (int i = 0; i < count; ++i) {
      if (InfoOf(graph_.ops[i].op).execution == Execution::kView) continue;
      for (Value result : graph_.ops[i].results) {
        if (absorbed_[result.id]) continue;
        alive_[i] += ByteCount(graph_.type(result));
        alive_[std::max(i, last[result.id]) + 1] -= ByteCount(graph_.type(result));
      }
    }
    for (int i = 1; i <= count; ++i) alive_[i] += alive_[i - 1];
    peak_ = static_cast<int>(std::max_element(alive_.begin(), alive_.end()) - alive_.begin());
    chosen_.resize(count);
    held_.resize(graph_.value_count());
    for (int i = 0; i <= turn_; ++i) {
      for (Value result : graph_.ops[i].results) {
        if (!InBackward(result)) continue;
        held_[result.id] = true;
        held_bytes_ += ByteCount(graph_.type(result));
      }
    }
  }

  // Gradients that are added to a state: they will be accumulated in its memory.
  std::vector<bool> AbsorbedByStores() const {
    std::vector<bool> absorbed(graph_.value_count());
    for (const Store& store : graph_.stores) absorbed[store.value.id] = true;
    for (auto node = graph_.ops.rbegin(); node != graph_.ops.rend(); ++node) {
      const bool passes_on = node->op == Op::kAdd || InfoOf(node->op).execution == Execution::kView;
      if (!passes_on || !absorbed[node->results[0].id]) continue;
      for (Value input : node->inputs) absorbed[input.id] = true;
    }
    return absorbed;
  }

  bool InBackward(Value root) const { return first_backward_[root.id] < static_cast<int>(graph_.ops.size()); }
  // Whether the value waits for the backward over the peak, and enough is gone by then for it to come back.
  bool Waits(Value root) const {
    if (!InBackward(root) || last_forward_[root.id] >= peak_ || peak_ >= first_backward_[root.id]) return false;
    return 2 * (alive_[peak_] - alive_[first_backward_[root.id]]) >= ByteCount(graph_.type(root));
  }
  bool Saved(int op) const {
    // A gradient that chunks of logits have made already is accumulated where it is, in an order that must not change.
    for (Value result : graph_.ops[op].results) {
      if (absorbed_[result.id]) return false;
    }
    const OpNode& node = graph_.ops[op];
    return InfoOf(node.op).execution == Execution::kKernel && !node.inputs.empty() &&
           std::any_of(node.results.begin(), node.results.end(), [&](Value result) { return Waits(result); });
  }

  // Ops that all of the forward goes through: behind them nothing of size but their results is alive that it reads.
  void FindCuts() {
    cut_before_.resize(turn_ + 1, -1);
    cut_.resize(turn_ + 1);
    int64_t alive = 0;
    int last_cut = -1;
    std::multimap<int, int64_t> ends;
    for (int i = 0; i <= turn_; ++i) {
      for (; !ends.empty() && ends.begin()->first <= i; ends.erase(ends.begin())) alive -= ends.begin()->second;
      cut_before_[i] = last_cut;
      if (InfoOf(graph_.ops[i].op).execution == Execution::kView) continue;
      int64_t own = 0;
      for (Value result : graph_.ops[i].results) {
        if (last_forward_[result.id] <= i) continue;
        own += ByteCount(graph_.type(result));
        ends.emplace(last_forward_[result.id], ByteCount(graph_.type(result)));
      }
      alive += own;
      if (own == 0 || (alive - own) * 16 > own) continue;
      cut_[i] = true;
      last_cut = i;
    }
  }
  // Of two cuts in a row one stays.
  bool MayChoose(int op) const {
    if (!cut_[op]) return true;
    if (cut_before_[op] >= 0 && chosen_[cut_before_[op]]) return false;
    for (int next = op + 1; next <= turn_; ++next) {
      if (cut_[next]) return !chosen_[next];
    }
    return true;
  }

  // Adds an op to a choice, with what it needs that is neither held nor chosen. False where that may not be.
  bool Add(int op, Choice& choice) const {
    if (!MayChoose(op)) return false;
    const OpNode& node = graph_.ops[op];
    choice.ops.push_back(op);
    choice.seconds += NominalSeconds(CountOperations(graph_, node));
    for (Value result : node.results) {
      if (held_[result.id] && Waits(result)) choice.bytes += ByteCount(graph_.type(result));
    }
    for (Value input : node.inputs) {
      const Value root = Root(input);
      const int producer = ProducerOf(root);
      if (producer < 0 || held_[root.id] || chosen_[producer]) continue;
      if (std::find(choice.ops.begin(), choice.ops.end(), producer) != choice.ops.end()) continue;
      if (cut_[producer]) {
        choice.bytes -= ByteCount(graph_.type(root));  // from now on it is held
      } else if (!Add(producer, choice)) {
        return false;
      }
    }
    return true;
  }

  const Graph& graph_;
  int turn_ = -1, peak_ = 0;
  int64_t held_bytes_ = 0;
  std::vector<int> last_forward_, first_backward_;  // readers by value, those through views included
  std::vector<int64_t> alive_;                      // bytes, by op
  std::vector<bool> held_;                          // by value: kept for the backward, or for an op computed again
  std::vector<bool> chosen_, cut_;
  std::vector<bool> absorbed_;   // by value: gradients on their way into a state                  // by op
  std::vector<int> cut_before_;  // by forward op: the cut before it, -1 where there is none
};

// Gives the backward clones of `ops` to read, each just before its first reader.
class Cloner {
 public:
  Cloner(Graph& graph, int turn, const std::vector<int>& ops)
      : graph_(graph), turn_(turn), chosen_(graph.ops.size()), clone_(graph.value_count()) {
    for (int op : ops) chosen_[op] = true;
  }

  void Run() {
    std::vector<OpNode> old;
    old.swap(graph_.ops);
    producer_of_.resize(graph_.value_count(), -1);
    for (size_t i = 0; i < old.size(); ++i) {
      for (Value result : old[i].results) producer_of_[result.id] = static_cast<int>(i);
    }
    old_ = &old;
    for (int i = 0; i < static_cast<int>(old.size()); ++i) {
      OpNode node = old[i];
      if (i > turn_) {
        for (Value& input : node.inputs) input = Again(input);
      }
      graph_.ops.push_back(std::move(node));
    }
    graph_.Compact();
  }

 private:
  // The value, or its clone.
  Value Again(Value value) {
    const int producer = value.id < static_cast<int>(producer_of_.size()) ? producer_of_[value.id] : -1;
    if (producer < 0 || producer > turn_) return value;
    if (clone_[value.id].valid()) return clone_[value.id];
    const OpNode& node = (*old_)[producer];
    const bool view = InfoOf(node.op).execution == Execution::kView;
    if (!chosen_[producer] && !view) return value;
    std::vector<Value> inputs;
    for (Value input : node.inputs) inputs.push_back(Again(input));
    if (view && inputs == node.inputs) return value;
    std::vector<Type> types;
    std::vector<std::string> names;
    for (Value result : node.results) {
      types.push_back(graph_.type(result));
      names.push_back(graph_.info(result).name + ".again");
    }
    OpNode& clone = graph_.AddOp(node.op, std::move(inputs), node.attributes, types, node.location, names);
    clone.recomputed = true;
    for (size_t r = 0; r < node.results.size(); ++r) clone_[node.results[r].id] = clone.results[r];
    return clone_[value.id];
  }

  Graph& graph_;
  int turn_;
  std::vector<bool> chosen_;      // by op of the old list
  std::vector<Value> clone_;      // by value
  std::vector<int> producer_of_;  // by value, in the old list
  const std::vector<OpNode>* old_ = nullptr;
};

// Tries first parts of an order of choices on the micro-step.
class Search {
 public:
  Search(const Module& module, const Graph& step, const PassContext& context)
      : step_(step), context_(context), bare_(module), forward_(step), order_(forward_.Order()) {
    std::erase_if(bare_.graphs, [&](const Graph& graph) { return graph.name == step.name; });
  }

  const Forward& forward() const { return forward_; }

  // The ops of the first `count` choices.
  std::vector<int> Ops(size_t count) const {
    std::vector<int> ops;
    for (size_t i = 0; i < count; ++i) ops.insert(ops.end(), order_[i].ops.begin(), order_[i].ops.end());
    return ops;
  }

  struct Found {
    size_t count = 0;  // of choices
    int64_t bytes = 0;
  };
  // The least number of choices that meets the budget or, where none does, the one that takes least. One price at a
  // time, then by halves within the price that does it.
  StatusOr<Found> Find(int64_t budget) {
    ASSIGN_OR_RETURN(others_, PlannedMemory(bare_, context_));
    bare_.graphs.clear();
    Found best;
    ASSIGN_OR_RETURN(best.bytes, Bytes(0));
    size_t least = 0;
    for (size_t begin = 0; begin < order_.size() && best.bytes > budget;) {
      size_t end = begin + 1;
      while (end < order_.size() && Price(end) <= Price(begin) * 1.01) ++end;
      ASSIGN_OR_RETURN(const int64_t bytes, Bytes(end));
      if (bytes < best.bytes) best = {end, bytes};
      least = begin;
      begin = end;
    }
    if (best.bytes > budget) return best;
    while (least + 1 < best.count) {
      const size_t middle = least + (best.count - least) / 2;
      ASSIGN_OR_RETURN(const int64_t bytes, Bytes(middle));
      if (bytes <= budget) {
        best = {middle, bytes};
      } else {
        least = middle;
      }
    }
    return best;
  }

 private:
  double Price(size_t at) const { return order_[at].seconds / static_cast<double>(order_[at].bytes); }

  // What the plan takes with the first `count` choices.
  StatusOr<int64_t> Bytes(size_t count) {
    Module trial = bare_;
    trial.graphs.push_back(step_);
    Cloner(trial.graphs[0], forward_.turn(), Ops(count)).Run();
    ASSIGN_OR_RETURN(MemoryNeed need, PlannedMemory(std::move(trial), context_));
    need.arena = std::max(need.arena, others_.arena);
    need.workspace = std::max(need.workspace, others_.workspace);
    return need.Total();
  }

  const Graph& step_;
  const PassContext& context_;
  Module bare_;  // without the micro-step
  Forward forward_;
  std::vector<Choice> order_;
  MemoryNeed others_;
};

// One remark for all ops of one kind from one line, and one for the whole.
void Report(const Graph& graph, const Search& search, const Search::Found& found, int64_t without,
            PassContext& context) {
  struct Line {
    Location location;
    Op op;
    int ops = 0;
    double flops = 0;
  };
  std::vector<Line> lines;
  double seconds = 0, flops = 0;
  int ops = 0;
  for (int index : search.Ops(found.count)) {
    const OpNode& node = graph.ops[index];
    auto line = std::find_if(lines.begin(), lines.end(), [&](const Line& at) {
      return at.op == node.op && at.location.line == node.location.line && at.location.file == node.location.file;
    });
    if (line == lines.end()) line = lines.insert(lines.end(), {node.location, node.op});
    const OperationCount operations = CountOperations(graph, node);
    ++line->ops;
    line->flops += operations.flops;
    flops += operations.flops;
    seconds += NominalSeconds(operations);
    ++ops;
  }
  for (const Line& line : lines) {
    context.Done(line.location, absl::StrFormat("%s: %s computed again in the backward%s, %.3g GFLOP", graph.name,
                                                std::string(NameOf(line.op)),
                                                line.ops > 1 ? Cat(", ", line.ops, " times") : "", line.flops / 1e9));
  }
  context.Done({}, absl::StrFormat("%s: %d %s computed again, the plan takes %s instead of %s; %.3g GFLOP more, about "
                                   "%.1f %% of a step",
                                   graph.name, ops, ops == 1 ? "op" : "ops", HumanBytes(found.bytes),
                                   HumanBytes(without), flops / 1e9, 100 * seconds / search.forward().StepSeconds()));
}

}  // namespace

Status Recompute(Module& module, PassContext& context) {
  const int64_t budget = context.options().memory_budget;
  const auto step = std::find_if(module.graphs.begin(), module.graphs.end(),
                                 [](const Graph& graph) { return graph.name == "micro_step"; });
  if (budget <= 0 || step == module.graphs.end()) return OkStatus();
  ASSIGN_OR_RETURN(const MemoryNeed without, PlannedMemory(module, context));
  if (without.Total() <= budget) return OkStatus();
  step->Renumber();
  Search search(module, *step, context);
  ASSIGN_OR_RETURN(const Search::Found found, search.Find(budget));
  if (found.count > 0) {
    Report(*step, search, found, without.Total(), context);
    Cloner(*step, search.forward().turn(), search.Ops(found.count)).Run();
  }
  if (found.bytes > budget) {
    context.Missed({}, Cat("micro_step: the plan takes ", HumanBytes(found.bytes),
                           ", which no choice brings below the budget of ", HumanBytes(budget)));
  }
  return OkStatus();
}

}  // namespace gptc
