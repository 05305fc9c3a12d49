#ifndef GPTC_FRONTENDS_GPTC_DOT_H_
#define GPTC_FRONTENDS_GPTC_DOT_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeDotCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_DOT_H_
