// What kernels may need beside their operands and results: packed weights, conversions, each thread's own tiles.
//
// The compiler counts it into a plan's peak and the runtime holds every kernel to it when it is bound, so that memory
// is known before anything runs and neither side has to know the other. One kernel runs at a time, so a plan needs the
// largest of its steps' workspaces. The bounds follow from types alone; a kernel that comes to need more gets its bound
// raised here.
#ifndef GPTC_RUNTIME_PLAN_WORKSPACE_H_
#define GPTC_RUNTIME_PLAN_WORKSPACE_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "ir/base/attributes.h"
#include "ir/base/op_table.h"
#include "ir/base/target.h"
#include "ir/base/type.h"
#include "runtime/plan/plan.h"

namespace gptc {

struct Workspace {
  int64_t shared = 0;  // bytes, however many threads there are
  int64_t thread = 0;  // and bytes for each thread

  int64_t Bytes(int64_t threads) const { return shared + threads * thread; }
};

// The most that a kernel of `op` may ask for on this target.
Workspace WorkspaceOf(Op op, std::span<const Type> inputs, std::span<const Type> results, const Attributes& attributes,
                      std::string_view target);

// Of the plan on so many threads.
int64_t WorkspaceBytes(const plan::PlanT& plan, int64_t threads);

// Everything training allocates: states, arena and workspace.
int64_t PeakBytes(const plan::PlanT& plan, int64_t threads);

}  // namespace gptc

#endif  // GPTC_RUNTIME_PLAN_WORKSPACE_H_
