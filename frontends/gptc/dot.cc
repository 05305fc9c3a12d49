// gptc dot: a graph drawn.
#include "frontends/gptc/dot.h"

#include <cstdlib>

#include "frontends/common/terminal.h"
#include "frontends/gptc/input.h"
#include "ir/dot.h"
#include "ir/parser.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

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

std::unique_ptr<Subcommand> MakeDotCommand() { return std::make_unique<DotCommand>(); }

}  // namespace gptc
