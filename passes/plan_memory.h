// Gives every value its place: states in the state region, everything else in the arena, by lifetimes
// (place_lifetimes.h).
//
//   views (reshape)     lie where their operand lies
//   in-place results    lie over an operand that dies with the op, where the op table allows it at each of its places
//   stored results      lie in the state's own memory (donation), where nobody needs the old content any more; else
//                       the executor copies at the end
//   all others          share the arena: blocks whose lifetimes do not meet may overlap
//
// What would be gone by the end gets a `copy` op first: a store of a state's, an input's or an already stored value,
// and an output that is the old content of a state that the graph stores to.
//
// Inputs are written before the first op, outputs read after the last. Entry points run one at a time and share one
// arena. Errors: InvalidArgument where the states, or one graph, would take more than 1 PiB.
#ifndef GPTC_PASSES_PLAN_MEMORY_H_
#define GPTC_PASSES_PLAN_MEMORY_H_

#include "passes/pass.h"

namespace gptc {

Status PlanMemory(Module& module, PassContext& context);

// After PlanMemory. Sizes in bytes, rounded up to the alignment.
struct MemorySummary {
  int64_t arena_bytes = 0;
  int64_t lower_bound = 0;  // the largest sum of bytes alive at once
};
MemorySummary SummarizeMemory(const Module& module, const Graph& graph);
int64_t StateBytes(const Module& module);

// Bytes that running takes.
struct MemoryNeed {
  int64_t states = 0, arena = 0;
  int64_t workspace = 0;  // runtime/plan/workspace.h
  int64_t Total() const { return states + arena + workspace; }
};
// What the module will take once the passes that remain have run; works on a copy.
StatusOr<MemoryNeed> PlannedMemory(Module module, const PassContext& context);

}  // namespace gptc

#endif  // GPTC_PASSES_PLAN_MEMORY_H_
