#include "bench/lib/workload.h"

#include <algorithm>
#include <chrono>

#include "frontends/gptc/input.h"
#include "frontends/gptc/pipeline.h"
#include "frontends/gptc/plan_facts.h"
#include "models/model.h"
#include "runtime/cpu/kernels.h"
#include "runtime/formats/files.h"
#include "runtime/train/initialize.h"
#include "runtime/train/synthetic.h"

namespace gptc {
namespace {

constexpr uint64_t kInitSeed = 1;
constexpr double kSampleSeconds = 0.02;

}  // namespace

StatusOr<Workload> ModelWorkload(const std::string& preset, int64_t layers, int64_t batch, int64_t sequence) {
  ASSIGN_OR_RETURN(const Model* gpt2, ModelNamed("gpt2"));
  std::vector<std::pair<std::string, std::string>> settings;
  if (layers > 0) settings.emplace_back("layers", Cat(layers));
  ASSIGN_OR_RETURN(const Config config, MakeConfig(*gpt2, preset, settings));
  ASSIGN_OR_RETURN(Module module, gpt2->build(config));
  return Workload{
      layers > 0 ? Cat(preset, "-", layers, "-layers") : preset, std::move(module), {{"B", batch}, {"T", sequence}}};
}

StatusOr<std::vector<Workload>> PatternWorkloads(const std::string& folder) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(folder));
  std::vector<Workload> workloads;
  for (const std::string& name : names) {
    if (!name.ends_with(".graph")) continue;
    ASSIGN_OR_RETURN(Module module, ReadModule(Cat(folder, "/", name)));
    workloads.push_back({name.substr(0, name.size() - 6), std::move(module), {}});
  }
  return workloads;
}

PlanCosts CostsOf(const plan::PlanT& plan) {
  PlanCosts costs{.state_bytes = plan.state_bytes};
  for (const plan::EntryT* entry : EntriesOfStep(plan)) {
    costs.arena_bytes = std::max(costs.arena_bytes, entry->arena_bytes);
    for (const KernelFact& fact : KernelsOf(*entry)) {
      costs.kernels += fact.count;
      costs.flops += fact.flops;
      costs.bytes_moved += fact.bytes;
    }
  }
  return costs;
}

StatusOr<std::unique_ptr<plan::PlanT>> CompileWorkload(const Workload& workload, const std::string& precision,
                                                       const std::vector<std::string>& disabled) {
  CompileOptions options{.dimensions = workload.dimensions, .target = "native", .precision = precision};
  options.disabled = disabled;
  ASSIGN_OR_RETURN(Compilation compiled, Compile(workload.module, options));
  return std::make_unique<plan::PlanT>(std::move(compiled.plan));
}

bool RunAlike(const plan::PlanT& a, const plan::PlanT& b) {
  // What is said about a plan does not run.
  auto bare = [](const plan::PlanT& plan) {
    plan::PlanT copy(plan);
    copy.options.clear();
    copy.remarks.clear();
    return SerializePlan(copy);
  };
  return bare(a) == bare(b);
}

StatusOr<std::unique_ptr<StepRunner>> StepRunner::Create(const plan::PlanT& plan) {
  std::vector<std::string> bound = {"prepare"};
  for (const plan::EntryT* entry : EntriesOfStep(plan)) bound.push_back(entry->name);
  auto runner = std::make_unique<StepRunner>();
  ASSIGN_OR_RETURN(runner->executor_, Executor::Create(plan, &CpuKernel, {.entries = bound}));
  RETURN_IF_ERROR(InitializeParameters(*runner->executor_, kInitSeed));
  SetSyntheticScalars(*runner->executor_);
  RETURN_IF_ERROR(runner->executor_->RunIfPresent("prepare"));
  for (size_t i = 1; i < bound.size(); ++i) runner->entries_.push_back(runner->executor_->entry(bound[i]));
  runner->RunOnce();  // first touches of memory, caches
  return runner;
}

double StepRunner::RunOnce() {
  using Clock = std::chrono::steady_clock;
  double seconds = 0;
  for (BoundEntry* entry : entries_) {
    FillSyntheticInputs(executor_->plan(), *entry);
    const Clock::time_point begin = Clock::now();
    CHECK_OK(entry->Run());
    seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return seconds;
}

double StepRunner::Sample() {
  double seconds = RunOnce();
  if (runs_ == 0) runs_ = std::clamp<int64_t>(static_cast<int64_t>(kSampleSeconds / std::max(seconds, 1e-9)), 1, 1000);
  for (int64_t i = 1; i < runs_; ++i) seconds += RunOnce();
  return seconds / static_cast<double>(runs_);
}

}  // namespace gptc
