// Order for a low peak. The model's own order, and the reverse walk's, are good ones: each value is made near its
// readers. What they miss are ops that need little and make much (a constant, a broadcast, a cast, a slice of a state):
// those sink to just before their first reader, so that what they make lives no longer than it must.
//
//   %c = broadcast %s;  %y = matmul %a, %b;  %z = add %y, %c   ->   %y = matmul %a, %b;  %c = broadcast %s;  %z = add
//   %y, %c
//
// Runs after the graphs are final, before plan_memory.
#ifndef GPTC_PASSES_SCHEDULE_H_
#define GPTC_PASSES_SCHEDULE_H_

#include "passes/pass.h"

namespace gptc {
Status Schedule(Module& module, PassContext& context);
}  // namespace gptc

#endif  // GPTC_PASSES_SCHEDULE_H_
