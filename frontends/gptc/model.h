#ifndef GPTC_FRONTENDS_GPTC_MODEL_H_
#define GPTC_FRONTENDS_GPTC_MODEL_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeModelCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_MODEL_H_
