// gptc inspect, explain, diff, dot: what a plan will do, why, and how two differ.
#include "frontends/gptc/inspect.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "frontends/common/thread_count.h"
#include "frontends/gptc/input.h"
#include "frontends/gptc/plan_facts.h"
#include "ir/dot.h"
#include "ir/parser.h"
#include "nlohmann/json.hpp"
#include "runtime/formats/files.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

std::string Bar(int64_t value, int64_t most, int width) {
  int64_t filled = most > 0 ? (value * width + most / 2) / most : 0;
  std::string bar;
  for (int64_t i = 0; i < filled; ++i) bar += "█";
  return bar;
}

class InspectCommand : public Subcommand {
 public:
  std::string name() const override { return "inspect"; }
  std::string summary() const override { return "say what a plan will do and take, before it runs"; }

  void Declare(CLI::App& app) override {
    app.add_option("plan", path_, "The plan")->required();
    app.add_flag("--memory", memory_, "Who holds the memory, over the course of a training step")->group("Show");
    app.add_flag("--kernels", kernels_, "Each kernel: launches, operations, bytes")->group("Show");
    app.add_flag("--flops", flops_, "Each entry point: kernels, operations, bytes")->group("Show");
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc inspect plan.fb --memory");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
    if (json_) return WriteOutput("-", AsJson(*plan).dump(2) + "\n");
    std::string text = Summary(*plan);
    if (kernels_) text += Kernels(*plan);
    if (flops_) text += Flops(*plan);
    if (memory_) text += Memory(*plan);
    return WriteOutput("-", text);
  }

 private:
  static Json AsJson(const plan::PlanT& plan) {
    double flops = 0;
    int64_t steps = 0;
    Json kernels = Json::array();
    for (const KernelFact& fact : KernelsOfStep(plan)) {
      kernels.push_back({{"name", fact.name},
                         {"dtype", fact.dtype},
                         {"count", fact.count},
                         {"flops", fact.flops},
                         {"bytes", fact.bytes}});
      flops += fact.flops;
      steps += fact.count;
    }
    Json json = {{"model", plan.model},
                 {"target", plan.target},
                 {"precision", plan.precision},
                 {"compiler", plan.compiler},
                 {"parameters", ParameterCount(plan)},
                 {"peak_bytes", PeakBytes(plan, ThreadCountHere())},
                 {"state_bytes", plan.state_bytes},
                 {"arena_bytes", plan.arena_bytes},
                 {"arena_lower_bound_bytes", plan.arena_lower_bound},
                 {"workspace_bytes", WorkspaceBytes(plan, ThreadCountHere())},
                 {"threads", ThreadCountHere()},
                 {"flops_per_step", flops},
                 {"steps", steps}};
    for (const auto& [kind, bytes] : StateBytesByKind(plan)) json["states"][kind] = bytes;
    for (const auto& dimension : plan.dimensions) json["dimensions"][dimension->name] = dimension->value;
    for (const EntryFact& fact : Entries(plan)) {
      json["entries"].push_back({{"name", fact.name},
                                 {"steps", fact.steps},
                                 {"arena_bytes", fact.arena_bytes},
                                 {"arena_lower_bound_bytes", fact.lower_bound},
                                 {"flops", fact.flops},
                                 {"bytes", fact.bytes}});
    }
    json["kernels"] = kernels;
    return json;
  }

  static std::string Summary(const plan::PlanT& plan) {
    std::string text = absl::StrFormat("%s · %s parameters · %s · %s\n", plan.model, Grouped(ParameterCount(plan)),
                                       plan.target, plan.precision);
    text += Cat("  ", Join(plan.dimensions, ", ", [](const auto& d) { return Cat(d->name, " = ", d->value); }), "\n");
    text += Cat("  memory  ", HumanBytes(PeakBytes(plan, ThreadCountHere())), " at the peak of training: states ",
                HumanBytes(plan.state_bytes), " (",
                Join(StateBytesByKind(plan), ", ",
                     [](const auto& item) { return Cat(item.first, " ", HumanBytes(item.second)); }),
                "), arena ", HumanBytes(plan.arena_bytes), " (no order of these steps can do with less than ",
                HumanBytes(plan.arena_lower_bound), "), workspace ",
                HumanBytes(WorkspaceBytes(plan, ThreadCountHere())), " on ", ThreadCountHere(), " threads\n");
    double flops = 0;
    int64_t count = 0;
    for (const KernelFact& fact : KernelsOfStep(plan)) {
      flops += fact.flops;
      count += fact.count;
    }
    return text + absl::StrFormat("  work    %.4g GFLOP in %d kernels for an optimizer step of one micro-batch\n",
                                  flops / 1e9, count);
  }

  static std::string Kernels(const plan::PlanT& plan) {
    std::string text = absl::StrFormat("\n%-24s %-5s %8s %12s %12s\n", "kernel", "type", "launches", "GFLOP", "MB");
    for (const KernelFact& fact : KernelsOfStep(plan)) {
      text += absl::StrFormat("%-24s %-5s %8d %12.3f %12.1f\n", fact.name, fact.dtype, fact.count, fact.flops / 1e9,
                              fact.bytes / 1e6);
    }
    return text;
  }

  static std::string Flops(const plan::PlanT& plan) {
    std::string text =
        absl::StrFormat("\n%-20s %8s %12s %12s %12s\n", "entry point", "kernels", "GFLOP", "MB", "arena");
    for (const EntryFact& fact : Entries(plan)) {
      text += absl::StrFormat("%-20s %8d %12.3f %12.1f %12s\n", fact.name, fact.steps, fact.flops / 1e9,
                              fact.bytes / 1e6, HumanBytes(fact.arena_bytes));
    }
    return text;
  }

  static std::string Memory(const plan::PlanT& plan) {
    const plan::EntryT* entry = FindEntry(plan, "micro_step.only");
    if (entry == nullptr) entry = FindEntry(plan, "score");
    if (entry == nullptr || entry->steps.empty()) return "";
    std::vector<int64_t> used = ArenaOverTime(*entry);
    int64_t most = *std::max_element(used.begin(), used.end());
    std::string text = Cat("\nArena over ", entry->name, " (", used.size(), " steps)\n");
    size_t rows = std::min<size_t>(used.size(), 24);
    for (size_t row = 0; row < rows; ++row) {
      size_t begin = row * used.size() / rows, end = std::max(begin + 1, (row + 1) * used.size() / rows);
      size_t at = static_cast<size_t>(std::max_element(used.begin() + begin, used.begin() + end) - used.begin());
      text += absl::StrFormat("%6d %10s  %s %s\n", at, HumanBytes(used[at]), Bar(used[at], most, 48),
                              entry->steps[at]->kernel);
    }
    text += "\nAt the peak\n";
    std::vector<Holder> holders = PeakHolders(*entry);
    for (size_t i = 0; i < holders.size() && i < 12; ++i) {
      text += absl::StrFormat("%10s  %-28s %s\n", HumanBytes(holders[i].bytes), holders[i].type, holders[i].what);
    }
    if (holders.size() > 12) {
      int64_t rest = 0;
      for (size_t i = 12; i < holders.size(); ++i) rest += holders[i].bytes;
      text += absl::StrFormat("%10s  in %d more\n", HumanBytes(rest), holders.size() - 12);
    }
    return text;
  }

  std::string path_;
  bool memory_ = false, kernels_ = false, flops_ = false, json_ = false;
};

class ExplainCommand : public Subcommand {
 public:
  std::string name() const override { return "explain"; }
  std::string summary() const override { return "say what each pass did, and did not do, with the model's line"; }
  void Declare(CLI::App& app) override {
    app.add_option("plan", path_, "The plan")->required();
    app.add_option("op", op_, "Only what names this op, pass or source line");
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc explain plan.fb softmax");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
    Json list = Json::array();
    // Alike remarks of many layers are one line with a count.
    std::vector<std::pair<std::string, int>> lines;
    for (const auto& remark : plan->remarks) {
      std::string line = absl::StrFormat("%-22s %-9s %s%s", remark->pass, remark->done ? "done" : "not done",
                                         remark->location.empty() ? "" : remark->location + ": ", remark->text);
      if (!op_.empty() && line.find(op_) == std::string::npos) continue;
      list.push_back(
          {{"pass", remark->pass}, {"done", remark->done}, {"location", remark->location}, {"text", remark->text}});
      auto at = std::find_if(lines.begin(), lines.end(), [&](const auto& item) { return item.first == line; });
      if (at == lines.end()) {
        lines.emplace_back(line, 1);
      } else {
        ++at->second;
      }
    }
    if (json_) return WriteOutput("-", list.dump(2) + "\n");
    std::string text;
    for (const auto& [line, count] : lines)
      text += count > 1 ? absl::StrFormat("%s  (%d times)\n", line, count) : line + "\n";
    if (text.empty())
      text = op_.empty() ? "No pass had anything to say.\n" : Cat("Nothing was said about '", op_, "'.\n");
    return WriteOutput("-", text);
  }

 private:
  std::string path_, op_;
  bool json_ = false;
};

class DiffCommand : public Subcommand {
 public:
  std::string name() const override { return "diff"; }
  std::string summary() const override { return "say how two plans differ"; }
  void Declare(CLI::App& app) override {
    app.add_option("a", a_, "A plan")->required();
    app.add_option("b", b_, "Another")->required();
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc diff before.fb after.fb");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> a, ReadPlan(a_));
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> b, ReadPlan(b_));
    Row("memory of states", static_cast<double>(a->state_bytes), static_cast<double>(b->state_bytes));
    Row("memory of arena", static_cast<double>(a->arena_bytes), static_cast<double>(b->arena_bytes));
    std::map<std::string, std::array<KernelFact, 2>> kernels;
    for (int side = 0; side < 2; ++side) {
      for (const KernelFact& fact : KernelsOfStep(side == 0 ? *a : *b))
        kernels[fact.name + " " + fact.dtype][side] = fact;
    }
    for (const auto& [key, sides] : kernels) {
      Row(key + " launches", static_cast<double>(sides[0].count), static_cast<double>(sides[1].count));
      Row(key + " flops", sides[0].flops, sides[1].flops);
      Row(key + " bytes", sides[0].bytes, sides[1].bytes);
    }
    if (json_) return WriteOutput("-", rows_.dump(2) + "\n");
    if (rows_.empty()) return WriteOutput("-", "No difference in memory or kernels.\n");
    std::string text =
        absl::StrFormat("%-36s %16s %16s %9s\n", "an optimizer step", a_.substr(0, 16), b_.substr(0, 16), "change");
    for (const Json& row : rows_) {
      double before = row["a"], after = row["b"];
      std::string change = before > 0 ? absl::StrFormat("%+.1f %%", 100 * (after / before - 1)) : "new";
      text += absl::StrFormat("%-36s %16.6g %16.6g %9s\n", row["what"].get<std::string>(), before, after, change);
    }
    return WriteOutput("-", text);
  }

 private:
  void Row(const std::string& what, double a, double b) {
    if (a != b) rows_.push_back({{"what", what}, {"a", a}, {"b", b}});
  }

  std::string a_, b_;
  bool json_ = false;
  Json rows_ = Json::array();
};

class DotCommand : public Subcommand {
 public:
  std::string name() const override { return "dot"; }
  std::string summary() const override { return "draw a graph (SVG, or Graphviz text)"; }
  void Declare(CLI::App& app) override {
    app.add_option("input", path_, "A model's text, or a plan (its model is drawn)")->required();
    app.add_option("-o,--output", output_, "x.svg, or x.dot, or - for the text")->required();
    app.add_option("--graph", graph_, "Which graph; default: train, else the first");
    app.footer(
        "Example:\n  gptc dot gpt2.graph --graph decode -o decode.svg      (SVG needs the program `dot` of Graphviz)");
  }

  Status Run() override {
    Module module;
    if (LooksLikePlan(path_)) {
      ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
      ASSIGN_OR_RETURN(module, ParseModule(plan->source, plan->source_name));
    } else {
      ASSIGN_OR_RETURN(module, ReadModule(path_));
    }
    if (module.graphs.empty()) return InvalidArgument(path_, ": the module has no graph");
    const Graph* graph = module.FindGraph(graph_.empty() ? "train" : graph_);
    if (graph == nullptr && graph_.empty()) graph = &module.graphs[0];
    if (graph == nullptr) {
      return UsageError("--graph ", graph_, ": the module has ",
                        Join(module.graphs, ", ", [](const Graph& g) { return g.name; }));
    }
    std::string dot = DotOfGraph(module, *graph);
    if (!output_.ends_with(".svg")) return WriteOutput(output_, dot);
    std::string text_path = output_ + ".dot";
    RETURN_IF_ERROR(WriteOutput(text_path, dot));
    std::string quoted;
    for (const std::string& word : {std::string("dot"), std::string("-Tsvg"), text_path, std::string("-o"), output_}) {
      quoted += "'";
      for (char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
      quoted += "' ";
    }
    int code = std::system(quoted.c_str());
    if (code != 0)
      return Failure("the program `dot` did not draw ", text_path, " (install graphviz, or take -o x.dot)");
    return RemoveAll(text_path);
  }

 private:
  std::string path_, output_, graph_;
};

}  // namespace

std::unique_ptr<Subcommand> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }
std::unique_ptr<Subcommand> MakeExplainCommand() { return std::make_unique<ExplainCommand>(); }
std::unique_ptr<Subcommand> MakeDiffCommand() { return std::make_unique<DiffCommand>(); }
std::unique_ptr<Subcommand> MakeDotCommand() { return std::make_unique<DotCommand>(); }

}  // namespace gptc
