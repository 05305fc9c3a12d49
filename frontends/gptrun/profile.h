#ifndef GPTC_FRONTENDS_GPTRUN_PROFILE_H_
#define GPTC_FRONTENDS_GPTRUN_PROFILE_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeProfileCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_PROFILE_H_
