#ifndef GPTC_FRONTENDS_GPTC_EXPLAIN_H_
#define GPTC_FRONTENDS_GPTC_EXPLAIN_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {
std::unique_ptr<Subcommand> MakeExplainCommand();
}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_EXPLAIN_H_
