// gptrun profile: where the time of a plan goes, kernel by kernel.
#include "frontends/gptrun/profile.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "frontends/gptrun/threads.h"
#include "ir/base/op_table.h"
#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "ir/base/target.h"
#include "nlohmann/json.hpp"
#include "runtime/cpu/kernels.h"
#include "runtime/exec/executor.h"
#include "runtime/train/initialize.h"

namespace gptc {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kInitSeed = 1;
constexpr size_t kSlowest = 20;

// One entry point and the seconds of each of its steps, over all runs.
struct Profiled {
  BoundEntry* entry;
  std::vector<double> seconds, last;  // last: of the last run alone
};

struct KernelTime {
  std::string name, dtype;
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;  // of one step
};

std::string TypesOf(const plan::EntryT& entry, const plan::StepT& step) {
  auto type = [&](uint32_t buffer) { return TypeText(TypeOf(*entry.buffers[buffer])); };
  return Cat(Join(step.inputs, ", ", type), " -> ", Join(step.results, ", ", type));
}

double PerSecond(double amount, double seconds) { return seconds > 0 ? amount / seconds / 1e9 : 0; }

// Ids in range for every input of an entry point; the same for each run.
void FillInputs(const plan::PlanT& plan, const BoundEntry& entry) {
  const int64_t vocab = std::max<int64_t>(1, ConfigInt(plan, "vocab", 1));
  for (const auto& port : entry.plan().inputs) {
    const TensorView view = entry.input(port->name);
    if (view.type.dtype != DType::kI32) continue;
    for (int64_t i = 0; i < view.count(); ++i) {
      int64_t value = 0;
      if (port->name == "tokens" || port->name == "targets") {
        value = static_cast<int64_t>(Mix64(static_cast<uint64_t>(i) + (port->name == "targets" ? 1 : 0)) %
                                     static_cast<uint64_t>(vocab));
      } else if (port->name == "positions") {
        value = i % view.dim(-1);
      } else if (port->name == "slots") {
        value = i;
      }
      view.as<int32_t>()[i] = static_cast<int32_t>(value);
    }
  }
}

// What the trainer would write; the values do not change how long anything takes.
void SetScalars(Executor& executor) {
  const int index = FindState(executor.plan(), kScalarsState);
  if (index < 0) return;
  const TensorView scalars = executor.state(index);
  if (scalars.type.dtype != DType::kF64 || scalars.count() < kScalarCount) return;
  const std::pair<Scalar, double> values[] = {
      {kLearningRate, 1e-5}, {kBeta1, 0.9}, {kBeta2, 0.95},     {kEpsilon, 1e-8},
      {kWeightDecay, 0.1},   {kClip, 1},    {kStep, 1},         {kInverseTokens, 1e-3},
      {kLossScale, 1},       {kSeed, 1},    {kFirstSequence, 0}};
  for (const auto& [scalar, value] : values) scalars.as<double>()[scalar] = value;
}

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
    app.add_flag("--by-step", by_step_,
                 Cat("The ", kSlowest, " slowest single kernels too, with types and the model's line"));
    app.add_option("--trace", trace_, "Write the last step as a Chrome trace (chrome://tracing, ui.perfetto.dev)");
    DeclareThreads(app, threads_);
    app.add_flag("--json", json_, "As one JSON object");
    app.footer("Example:\n  gptrun profile plan.fb --by-step --trace trace.json");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(const std::unique_ptr<plan::PlanT> plan, ReadPlan(path_));
    if (Status fits = CheckTarget(plan->target); !fits.ok()) return Annotate(fits, path_);
    ApplyThreads(threads_);
    RETURN_IF_ERROR(ChooseEntries(*plan));
    std::vector<std::string> bound = entries_;
    bound.push_back("prepare");
    ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor, Executor::Create(*plan, &CpuKernel, {.entries = bound}));
    InitializeParameters(*executor, kInitSeed);
    SetScalars(*executor);
    executor->RunIfPresent("prepare");
    Measure(*executor);
    if (!trace_.empty()) RETURN_IF_ERROR(WriteOutput(trace_, Trace().dump() + "\n"));
    if (json_) return WriteOutput("-", Json(*plan).dump(2) + "\n");
    return WriteOutput("-", Table() + (by_step_ ? Slowest() : ""));
  }

 private:
  // A kernel launch among those of all entry points.
  struct Launch {
    const plan::EntryT* entry;
    const plan::StepT* step;
    double seconds;
  };

  Status ChooseEntries(const plan::PlanT& plan) {
    if (entries_.empty()) {
      for (const char* name : {"micro_step.only", "update"}) {
        if (FindEntry(plan, name) != nullptr) entries_.emplace_back(name);
      }
      if (entries_.empty()) entries_.emplace_back("score");
    }
    for (const std::string& name : entries_) {
      if (FindEntry(plan, name) != nullptr) continue;
      return UsageError("--entry ", name, ": the plan has ",
                        Join(plan.entries, ", ", [](const auto& entry) { return entry->name; }));
    }
    return OkStatus();
  }

  void Measure(Executor& executor) {
    for (const std::string& name : entries_) profiled_.push_back({executor.entry(name), {}, {}});
    for (int64_t i = 0; i <= steps_; ++i) {
      for (Profiled& each : profiled_) {
        FillInputs(executor.plan(), *each.entry);
        each.last.assign(each.entry->plan().steps.size(), 0);
        const auto begin = Clock::now();
        each.entry->RunTimed(each.last);
        if (i == 0) continue;  // first touches of memory, caches
        wall_ += std::chrono::duration<double>(Clock::now() - begin).count();
        each.seconds.resize(each.last.size());
        for (size_t s = 0; s < each.last.size(); ++s) each.seconds[s] += each.last[s];
      }
    }
    wall_ /= static_cast<double>(steps_);
    for (Profiled& each : profiled_) {
      for (double& seconds : each.seconds) seconds /= static_cast<double>(steps_);
    }
  }

  template <typename Visit>
  void ForEachLaunch(Visit visit) const {
    for (const Profiled& each : profiled_) {
      const plan::EntryT& entry = each.entry->plan();
      for (size_t s = 0; s < entry.steps.size(); ++s) {
        const plan::StepT& step = *entry.steps[s];
        if (InfoOf(*OpNamed(step.kernel)).execution == Execution::kKernel)
          visit(each, s, Launch{&entry, &step, each.seconds[s]});
      }
    }
  }

  std::vector<KernelTime> Kernels() const {
    std::map<std::pair<std::string, std::string>, KernelTime> kernels;
    ForEachLaunch([&](const Profiled&, size_t, const Launch& launch) {
      std::string dtype(NameOf(ComputesIn(*launch.entry, *launch.step)));
      KernelTime& kernel = kernels[{launch.step->kernel, dtype}];
      kernel.name = launch.step->kernel;
      kernel.dtype = dtype;
      ++kernel.calls;
      kernel.seconds += launch.seconds;
      kernel.flops += launch.step->flops;
      kernel.bytes += launch.step->bytes;
    });
    std::vector<KernelTime> sorted;
    for (auto& [key, kernel] : kernels) sorted.push_back(std::move(kernel));
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const KernelTime& a, const KernelTime& b) { return a.seconds > b.seconds; });
    return sorted;
  }

  std::vector<Launch> SlowestLaunches() const {
    std::vector<Launch> launches;
    ForEachLaunch([&](const Profiled&, size_t, const Launch& launch) { launches.push_back(launch); });
    std::stable_sort(launches.begin(), launches.end(),
                     [](const Launch& a, const Launch& b) { return a.seconds > b.seconds; });
    launches.resize(std::min(launches.size(), kSlowest));
    return launches;
  }

  std::string Table() const {
    std::string text = absl::StrFormat("%-28s %-5s %7s %10s %7s %9s %8s\n", "kernel", "type", "calls", "ms", "share",
                                       "GFLOP/s", "GB/s");
    KernelTime all;
    for (const KernelTime& kernel : Kernels()) {
      text += Line(kernel);
      all.calls += kernel.calls;
      all.seconds += kernel.seconds;
      all.flops += kernel.flops;
      all.bytes += kernel.bytes;
    }
    all.name = Join(entries_, " + ");
    return text + Line(all) + absl::StrFormat("%.3f ms from start to end, mean of %d\n", wall_ * 1e3, steps_);
  }

  std::string Line(const KernelTime& kernel) const {
    return absl::StrFormat("%-28s %-5s %7d %10.3f %5.1f %% %9.1f %8.1f\n", kernel.name, kernel.dtype, kernel.calls,
                           kernel.seconds * 1e3, wall_ > 0 ? 100 * kernel.seconds / wall_ : 0,
                           PerSecond(kernel.flops, kernel.seconds), PerSecond(kernel.bytes, kernel.seconds));
  }

  std::string Slowest() const {
    std::string text = absl::StrFormat("\n%10s %9s %8s  %s\n", "ms", "GFLOP/s", "GB/s", "the slowest kernels");
    for (const Launch& launch : SlowestLaunches()) {
      text += absl::StrFormat(
          "%10.3f %9.1f %8.1f  %s: %s", launch.seconds * 1e3, PerSecond(launch.step->flops, launch.seconds),
          PerSecond(launch.step->bytes, launch.seconds), launch.step->kernel, TypesOf(*launch.entry, *launch.step));
      text += launch.step->location.empty() ? "\n" : Cat("  from ", launch.step->location, "\n");
    }
    return text;
  }

  json Json(const plan::PlanT& plan) const {
    json out = {{"entries", entries_},
                {"steps", steps_},
                {"ms", wall_ * 1e3},
                {"target", plan.target},
                {"precision", plan.precision}};
    out["kernels"] = json::array();
    for (const KernelTime& kernel : Kernels()) {
      out["kernels"].push_back({{"name", kernel.name},
                                {"dtype", kernel.dtype},
                                {"calls", kernel.calls},
                                {"ms", kernel.seconds * 1e3},
                                {"share", wall_ > 0 ? kernel.seconds / wall_ : 0},
                                {"gflop_per_s", PerSecond(kernel.flops, kernel.seconds)},
                                {"gb_per_s", PerSecond(kernel.bytes, kernel.seconds)}});
    }
    if (!by_step_) return out;
    out["slowest"] = json::array();
    for (const Launch& launch : SlowestLaunches()) {
      out["slowest"].push_back({{"entry", launch.entry->name},
                                {"kernel", launch.step->kernel},
                                {"types", TypesOf(*launch.entry, *launch.step)},
                                {"location", launch.step->location},
                                {"ms", launch.seconds * 1e3},
                                {"gflop_per_s", PerSecond(launch.step->flops, launch.seconds)},
                                {"gb_per_s", PerSecond(launch.step->bytes, launch.seconds)}});
    }
    return out;
  }

  // Microseconds; kernels stand one behind the other, as they run, without the gaps between them.
  json Trace() const {
    json events = json::array();
    double at = 0;
    ForEachLaunch([&](const Profiled& each, size_t s, const Launch& launch) {
      const double duration = each.last[s] * 1e6;
      events.push_back({{"name", launch.step->kernel},
                        {"cat", launch.entry->name},
                        {"ph", "X"},
                        {"ts", at},
                        {"dur", duration},
                        {"pid", 0},
                        {"tid", 0},
                        {"args",
                         {{"entry", launch.entry->name},
                          {"types", TypesOf(*launch.entry, *launch.step)},
                          {"location", launch.step->location},
                          {"gflop", launch.step->flops / 1e9},
                          {"mb", launch.step->bytes / 1e6}}}});
      at += duration;
    });
    return events;
  }

  std::string path_, trace_;
  std::vector<std::string> entries_;
  int64_t steps_ = 5, threads_ = 0;
  bool by_step_ = false, json_ = false;
  std::vector<Profiled> profiled_;
  double wall_ = 0;  // seconds of one step, from start to end
};

}  // namespace

std::unique_ptr<Subcommand> MakeProfileCommand() { return std::make_unique<ProfileCommand>(); }

}  // namespace gptc
