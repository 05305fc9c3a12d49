// Reading what gptc's subcommands work on.
#ifndef GPTC_FRONTENDS_GPTC_INPUT_H_
#define GPTC_FRONTENDS_GPTC_INPUT_H_

#include <memory>
#include <string>

#include "ir/base/status.h"
#include "ir/module.h"
#include "runtime/plan/plan.h"

namespace gptc {

// Parses and verifies the text form in `path`.
StatusOr<Module> ReadModule(const std::string& path);
// Whether the file begins as a plan does.
bool LooksLikePlan(const std::string& path);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_INPUT_H_
