// gptc inspect: what a plan will do and take.
#include "frontends/gptc/inspect.h"

#include <optional>

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "frontends/common/thread_count.h"
#include "frontends/gptc/input.h"
#include "frontends/gptc/memory_picture.h"
#include "frontends/gptc/plan_facts.h"
#include "nlohmann/json.hpp"
#include "runtime/formats/files.h"
#include "runtime/plan/generated.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

class InspectCommand : public Subcommand {
 public:
  std::string name() const override { return "inspect"; }
  std::string summary() const override { return "say what a plan will do and take, before it runs"; }

  void Declare(CLI::App& app) override {
    app.add_option("plan", path_, "The plan")->required();
    app.add_flag("--memory", memory_, "Who holds the memory, over the course of a training step")->group("Show");
    app.add_option("--entry", entry_, "The entry point that --memory shows; default: the largest of a step")
        ->group("Show");
    app.add_option("-o,--output", picture_, "x.svg: the memory as a picture, step by step")->group("Show");
    app.add_flag("--kernels", kernels_, "Each kernel: launches, operations, bytes")->group("Show");
    app.add_flag("--flops", flops_, "Each entry point: kernels, operations, bytes")->group("Show");
    app.add_option(
           "--source", source_,
           "CUDA source of the generated kernels with OP in their names, or of one by its INDEX; 'list' lists them")
        ->type_name("OP|INDEX")
        ->group("Show");
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc inspect plan.fb --memory -o memory.svg");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
    if (!source_.empty()) return ShowSource(*plan);
    if (!picture_.empty() && !picture_.ends_with(".svg"))
      return UsageError("-o ", picture_, ": the picture is an SVG; give it a name that ends in .svg");
    std::optional<EntryMemory> memory;
    if (memory_ || !picture_.empty() || !entry_.empty()) {
      ASSIGN_OR_RETURN(const plan::EntryT* entry, MemoryEntry(*plan));
      memory = MemoryOf(*plan, *entry);
    }
    if (!picture_.empty()) RETURN_IF_ERROR(WriteOutput(picture_, MemorySvg(*plan, *memory)));
    if (json_) {
      Json json = AsJson(*plan);
      if (memory) json["memory"] = MemoryJson(*memory);
      return WriteOutput("-", json.dump(2) + "\n");
    }
    std::string text = Summary(*plan);
    if (kernels_) text += Kernels(*plan);
    if (flops_) text += Flops(*plan);
    if (memory) text += MemoryText(*memory);
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
    text +=
        Cat("  memory  ", HumanBytes(PeakBytes(plan, ThreadCountHere())), " at the peak of training: states ",
            HumanBytes(plan.state_bytes), " (",
            Join(StateBytesByKind(plan), ", ",
                 [](const auto& item) { return Cat(item.first, " ", HumanBytes(item.second)); }),
            "), arena ", HumanBytes(plan.arena_bytes), " (no order of these steps can do with less than ",
            HumanBytes(plan.arena_lower_bound), "), workspace ", HumanBytes(WorkspaceBytes(plan, ThreadCountHere())),
            IsCuda(plan.target) ? "" : Cat(" on ", ThreadCountHere(), " threads"), "\n");
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

  // The entry point that --memory shows: the one asked for, else the largest part of a step.
  StatusOr<const plan::EntryT*> MemoryEntry(const plan::PlanT& plan) const {
    std::vector<std::string> names;
    for (const auto& entry : plan.entries) names.push_back(entry->name);
    if (entry_.empty()) {
      const plan::EntryT* largest = nullptr;
      for (const plan::EntryT* entry : EntriesOfStep(plan)) {
        if (largest == nullptr || entry->arena_bytes > largest->arena_bytes) largest = entry;
      }
      if (largest == nullptr) return InvalidArgument(path_, ": the plan has no entry point");
      return largest;
    }
    if (const plan::EntryT* entry = FindEntry(plan, entry_); entry != nullptr) return entry;
    const std::string near = Nearest(entry_, names);
    return UsageError("--entry ", entry_, ": the plan has ", Join(names, ", "),
                      near.empty() ? "" : Cat("; did you mean '", near, "'?"));
  }

  Status ShowSource(const plan::PlanT& plan) const {
    if (plan.generated == nullptr) {
      return InvalidArgument(
          path_, ": the plan has no generated kernels: targets of CUDA have, for fused ops; this is ", plan.target);
    }
    if (source_ == "list") {
      std::string list;
      for (size_t i = 0; i < plan.generated->kernels.size(); ++i)
        list += absl::StrFormat("%4d  %s\n", i, plan.generated->kernels[i]->name);
      return WriteOutput("-", list);
    }
    const bool by_index = source_.find_first_not_of("0123456789") == std::string::npos;
    std::string text;
    for (size_t i = 0; i < plan.generated->kernels.size(); ++i) {
      const plan::GeneratedKernelT& kernel = *plan.generated->kernels[i];
      if (by_index ? source_ != Cat(i) : kernel.name.find(source_) == std::string::npos) continue;
      text += Cat(text.empty() ? "" : "\n", "// ", kernel.name, "\n", kernel.source);
    }
    if (text.empty()) {
      return UsageError("--source ", source_, ": none of the plan's ", plan.generated->kernels.size(),
                        " generated kernels; --source list lists them");
    }
    return WriteOutput("-", text);
  }

  std::string path_, entry_, picture_, source_;
  bool memory_ = false, kernels_ = false, flops_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace gptc
