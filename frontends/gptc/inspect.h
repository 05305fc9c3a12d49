#ifndef GPTC_FRONTENDS_GPTC_INSPECT_H_
#define GPTC_FRONTENDS_GPTC_INSPECT_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeInspectCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_INSPECT_H_
