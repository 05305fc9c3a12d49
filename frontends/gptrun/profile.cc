// gptrun profile: where the time of a plan goes, kernel by kernel.
#include "frontends/gptrun/profile.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "frontends/common/terminal.h"
#include "frontends/gptrun/profile_report.h"
#include "frontends/gptrun/threads.h"
#include "runtime/devices/device_for.h"
#include "runtime/exec/executor.h"
#include "runtime/train/initialize.h"
#include "runtime/train/synthetic.h"

namespace gptc {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kInitSeed = 1;
constexpr size_t kTracedRuns = 10;

class ProfileCommand : public Subcommand {
 public:
  std::string name() const override { return "profile"; }
  std::string summary() const override { return "measure where a plan's time goes, kernel by kernel"; }

  void Declare(CLI::App& app) override {
    app.add_option("plan", path_, "The plan, from gptc compile")->required();
    app.add_option("--entry", entries_,
                   "An entry point; may be repeated. Default: an optimizer step (micro_step.only, update), else score");
    app.add_option("--steps", steps_, "Runs that are measured; one more before them is not")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
        ->capture_default_str();
    app.add_flag("--by-step", by_step_, "The slowest single kernels too, with types and the model's line");
    app.add_option("--trace", trace_,
                   Cat("Write the last steps, up to ", kTracedRuns, ", as a Chrome trace (ui.perfetto.dev)"));
    DeclareThreads(app, threads_);
    app.add_flag("--json", json_, "As one JSON object");
    app.footer("Example:\n  gptrun profile plan.fb --by-step --trace trace.json");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(const std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
    const StatusOr<std::unique_ptr<Device>> device = DeviceFor(plan->target);
    if (!device.ok()) return Annotate(device.status(), path_);
    ApplyThreads(threads_);
    RETURN_IF_ERROR(ChooseEntries(*plan));
    Profile profile{.plan = plan.get(), .roofline = {}, .entries = {}, .steps = steps_};
    ASSIGN_OR_RETURN(profile.roofline, (*device)->MeasureCeilings(*plan));
    std::vector<std::string> bound = entries_;
    bound.push_back("prepare");
    ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor, Executor::Create(*plan, **device, {.entries = bound}));
    RETURN_IF_ERROR(InitializeParameters(*executor, kInitSeed));
    SetSyntheticScalars(*executor);
    RETURN_IF_ERROR(executor->RunIfPresent("prepare"));
    RETURN_IF_ERROR(Measure(*executor, profile));
    if (!trace_.empty()) RETURN_IF_ERROR(WriteOutput(trace_, ChromeTrace(profile).dump() + "\n"));
    if (json_) return WriteOutput("-", ProfileJson(profile, by_step_).dump(2) + "\n");
    return WriteOutput("-", ProfileTable(profile) + (by_step_ ? SlowestTable(profile) : ""));
  }

 private:
  Status ChooseEntries(const plan::PlanT& plan) {
    if (entries_.empty()) {
      for (const char* name : {"micro_step.only", "update"}) {
        if (FindEntry(plan, name) != nullptr) entries_.emplace_back(name);
      }
      if (entries_.empty()) entries_.emplace_back("score");
    }
    std::vector<std::string> names;
    for (const auto& entry : plan.entries) names.push_back(entry->name);
    for (const std::string& name : entries_) {
      if (FindEntry(plan, name) != nullptr) continue;
      const std::string near = Nearest(name, names);
      return UsageError("--entry ", name, ": the plan has ", Join(names, ", "),
                        near.empty() ? "" : Cat("; did you mean '", near, "'?"));
    }
    return OkStatus();
  }

  Status Measure(Executor& executor, Profile& profile) const {
    for (const std::string& name : entries_) {
      const plan::EntryT& entry = executor.entry(name)->plan();
      profile.entries.push_back({&entry, std::vector<double>(entry.steps.size()), 0, {}});
    }
    const double share = 1.0 / static_cast<double>(steps_);
    for (int64_t i = 0; i <= steps_; ++i) {
      for (EntryProfile& each : profile.entries) {
        BoundEntry& entry = *executor.entry(each.entry->name);
        FillSyntheticInputs(executor.plan(), entry);
        EntryRun run;
        run.begin = Clock::now();
        RETURN_IF_ERROR(entry.RunTimed(run.steps));
        run.end = Clock::now();
        if (i == 0) continue;  // first touches of memory, caches
        each.wall += share * std::chrono::duration<double>(run.end - run.begin).count();
        for (size_t s = 0; s < run.steps.size(); ++s) each.seconds[s] += share * run.steps[s].seconds;
        if (each.runs.size() == kTracedRuns) each.runs.erase(each.runs.begin());
        each.runs.push_back(std::move(run));
      }
    }
    return OkStatus();
  }

  std::string path_, trace_;
  std::vector<std::string> entries_;
  int64_t steps_ = 5, threads_ = 0;
  bool by_step_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeProfileCommand() { return std::make_unique<ProfileCommand>(); }

}  // namespace gptc
