// A plan compiled again from the source it carries, with what its options say.
#ifndef GPTC_FRONTENDS_GPTC_RECOMPILE_H_
#define GPTC_FRONTENDS_GPTC_RECOMPILE_H_

#include "frontends/gptc/pipeline.h"

namespace gptc {

// The options of the compilation that made the plan. Errors: an option that this compiler does not know.
StatusOr<CompileOptions> OptionsOf(const plan::PlanT& plan);
// The text form that the plan was made from.
StatusOr<Module> SourceOf(const plan::PlanT& plan);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_RECOMPILE_H_
