#ifndef GPTC_FRONTENDS_GPTRUN_EVAL_H_
#define GPTC_FRONTENDS_GPTRUN_EVAL_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeEvalCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_EVAL_H_
