#ifndef GPTC_FRONTENDS_GPTRUN_TRAIN_H_
#define GPTC_FRONTENDS_GPTRUN_TRAIN_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeTrainCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_TRAIN_H_
