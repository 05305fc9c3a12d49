#ifndef GPTC_FRONTENDS_GPTRUN_EXPORT_H_
#define GPTC_FRONTENDS_GPTRUN_EXPORT_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeExportCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_EXPORT_H_
