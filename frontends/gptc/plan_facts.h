// What a plan says about itself, gathered for inspect, explain and diff.
#ifndef GPTC_FRONTENDS_GPTC_PLAN_FACTS_H_
#define GPTC_FRONTENDS_GPTC_PLAN_FACTS_H_

#include <string>
#include <vector>

#include "runtime/plan/plan.h"

namespace gptc {

// One kernel of an optimizer step, over all its launches.
struct KernelFact {
  std::string name;
  std::string dtype;  // what it computes in
  int64_t count = 0;
  double flops = 0, bytes = 0;
};

struct EntryFact {
  std::string name;
  int64_t steps = 0;  // kernels launched
  int64_t arena_bytes = 0, lower_bound = 0;
  double flops = 0, bytes = 0;
};

// What one step runs: micro_step.only and update, an optimizer step of one micro-batch; `score` where the plan does not
// train; every entry point of a plan that has none of them.
std::vector<const plan::EntryT*> EntriesOfStep(const plan::PlanT& plan);
// Kernels of an entry point, or of one step; the largest share of operations first.
std::vector<KernelFact> KernelsOf(const plan::EntryT& entry);
std::vector<KernelFact> KernelsOfStep(const plan::PlanT& plan);
std::vector<EntryFact> Entries(const plan::PlanT& plan);
// Bytes of each kind of state: "parameter", ...
std::vector<std::pair<std::string, int64_t>> StateBytesByKind(const plan::PlanT& plan);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_PLAN_FACTS_H_
