#ifndef GPTC_FRONTENDS_GPTC_DIFF_H_
#define GPTC_FRONTENDS_GPTC_DIFF_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeDiffCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_DIFF_H_
