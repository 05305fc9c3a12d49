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

// One value at an entry point's moment of largest use.
struct Holder {
  std::string what;  // "matmul from models/gpt2.cc:120"
  std::string type;  // "f32[4, 256, 50257]"
  int64_t bytes = 0;
};

struct EntryFact {
  std::string name;
  int64_t steps = 0;  // kernels launched
  int64_t arena_bytes = 0, lower_bound = 0;
  double flops = 0, bytes = 0;
};

// Kernels of one optimizer step of one micro-batch (micro_step.only, then update), or of `score` where the plan does
// not train; the largest share of operations first.
std::vector<KernelFact> KernelsOfStep(const plan::PlanT& plan);
std::vector<EntryFact> Entries(const plan::PlanT& plan);
// Bytes of arena in use at each step of the entry point.
std::vector<int64_t> ArenaOverTime(const plan::EntryT& entry);
// What is alive at the entry point's peak, largest first.
std::vector<Holder> PeakHolders(const plan::EntryT& entry);
// Bytes of each kind of state: "parameter", ...
std::vector<std::pair<std::string, int64_t>> StateBytesByKind(const plan::PlanT& plan);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_PLAN_FACTS_H_
