#ifndef GPTC_FRONTENDS_GPTC_INSPECT_H_
#define GPTC_FRONTENDS_GPTC_INSPECT_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeInspectCommand();
std::unique_ptr<Subcommand> MakeExplainCommand();
std::unique_ptr<Subcommand> MakeDiffCommand();
std::unique_ptr<Subcommand> MakeDotCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_INSPECT_H_
