// The roofline of this machine's processor.
#ifndef GPTC_RUNTIME_CPU_ROOFLINE_H_
#define GPTC_RUNTIME_CPU_ROOFLINE_H_

#include "ir/base/status.h"
#include "runtime/exec/roofline.h"

namespace gptc {

// Measures products at the shapes of the plan's model (of some GPT-2 where it names no width) and reading at three
// sizes, in about a second; larger models take longer.
StatusOr<Roofline> MeasureRoofline(const plan::PlanT& plan);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ROOFLINE_H_
