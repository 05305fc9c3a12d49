#ifndef GPTC_FRONTENDS_GPTC_COMPILE_H_
#define GPTC_FRONTENDS_GPTC_COMPILE_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeCompileCommand();
std::unique_ptr<Subcommand> MakeOptCommand();
std::unique_ptr<Subcommand> MakePassesCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_COMPILE_H_
