// Micro-batch size advice: how many sequences fit a memory budget.
#ifndef GPTC_FRONTENDS_GPTC_BATCH_SIZE_H_
#define GPTC_FRONTENDS_GPTC_BATCH_SIZE_H_

#include <cstdint>

#include "frontends/gptc/pipeline.h"

namespace gptc {

struct BatchAdvice {
  int64_t batch = 0;  // the largest that fits; 0: none does
  int64_t bytes = 0;  // the least that it takes, or that a batch of 1 does where none fits
  int64_t next = 0;   // and one sequence more
};

// The largest B that fits options.memory_budget with these options, `recompute` doing what it can; at most
// `most_batch`. Compiles for a few sizes: what a plan takes grows evenly with B. REQUIRES: the module has a dimension
// B.
StatusOr<BatchAdvice> LargestBatch(const Module& module, CompileOptions options, int64_t most_batch);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_BATCH_SIZE_H_
