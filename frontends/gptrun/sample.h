#ifndef GPTC_FRONTENDS_GPTRUN_SAMPLE_H_
#define GPTC_FRONTENDS_GPTRUN_SAMPLE_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeSampleCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_SAMPLE_H_
