// gptc as a child process: how a run gets a plan that it does not have. The runtime never links the compiler.
#ifndef GPTC_FRONTENDS_GPTRUN_COMPILER_PROCESS_H_
#define GPTC_FRONTENDS_GPTRUN_COMPILER_PROCESS_H_

#include <string>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

// The gptc in the folder of this very program. FailedPrecondition where there is none.
StatusOr<std::string> CompilerBeside();

// Runs `program` with `words`, without a shell, in the folder `folder`; what it prints on standard output and standard
// error goes to our standard error. An exit code other than 0 becomes the Status of the same exit code.
Status RunProgramAndWait(const std::string& program, const std::vector<std::string>& words, const std::string& folder);

// Compiles the model that the config.json in `model` (a folder of Hugging Face files) describes for one sequence of the
// whole context in f32, and puts the plan at `plan` in one step. `settings` are key=value for gptc model --set. Says so
// in one line on standard error. Its temporary files lie beside the plan and are removed.
Status CompilePlanFrom(const std::string& model, const std::vector<std::string>& settings, const std::string& plan);

// Sees to it that the run that `path` (a run, or a checkpoint in one) names has a plan: where it has none, it is
// compiled from the newest checkpoint's config.json. NotFound where there is no run or no checkpoint.
Status EnsurePlan(const std::string& path);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_COMPILER_PROCESS_H_
