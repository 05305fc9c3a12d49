// What the fusion benchmark runs: a model's optimizer step, or a small pattern, compiled in this process with some
// passes left out.
#ifndef GPTC_BENCH_LIB_WORKLOAD_H_
#define GPTC_BENCH_LIB_WORKLOAD_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/status.h"
#include "ir/module.h"
#include "runtime/exec/executor.h"

namespace gptc {

struct Workload {
  std::string name;
  Module module;
  std::vector<std::pair<std::string, int64_t>> dimensions;
};

// GPT-2 of a preset's width; `layers` 0: as many as the preset has.
StatusOr<Workload> ModelWorkload(const std::string& preset, int64_t layers, int64_t batch, int64_t sequence);
// Every *.graph of a folder, by name; dimensions have the sizes that the text gives them.
StatusOr<std::vector<Workload>> PatternWorkloads(const std::string& folder);

// What a plan costs, by its own counts, for one step (frontends/gptc/plan_facts.h).
struct PlanCosts {
  int64_t kernels = 0, arena_bytes = 0, state_bytes = 0;
  double flops = 0, bytes_moved = 0;
};
PlanCosts CostsOf(const plan::PlanT& plan);

StatusOr<std::unique_ptr<plan::PlanT>> CompileWorkload(const Workload& workload, const std::string& precision,
                                                       const std::vector<std::string>& disabled);
// Whether two plans run the same kernels in the same places.
bool RunAlike(const plan::PlanT& a, const plan::PlanT& b);

// A plan ready to run, with parameters as at a training's start.
class StepRunner {
 public:
  // The plan must outlive the runner.
  static StatusOr<std::unique_ptr<StepRunner>> Create(const plan::PlanT& plan);

  // Seconds of one step: the mean of as many as fit into a moment.
  double Sample();

 private:
  double RunOnce();

  std::unique_ptr<Executor> executor_;
  std::vector<BoundEntry*> entries_;
  int64_t runs_ = 0;  // in a sample; 0: not known yet
};

}  // namespace gptc

#endif  // GPTC_BENCH_LIB_WORKLOAD_H_
