#ifndef GPTC_FRONTENDS_GPTRUN_TUNE_H_
#define GPTC_FRONTENDS_GPTRUN_TUNE_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeTuneCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_TUNE_H_
