#ifndef GPTC_FRONTENDS_GPTRUN_IMPORT_H_
#define GPTC_FRONTENDS_GPTRUN_IMPORT_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeImportCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_IMPORT_H_
