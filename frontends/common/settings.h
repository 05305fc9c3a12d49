// Where the value of a flag comes from: the command line, the environment, a TOML file. See command.h for the order.
#ifndef GPTC_FRONTENDS_COMMON_SETTINGS_H_
#define GPTC_FRONTENDS_COMMON_SETTINGS_H_

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "ir/base/status.h"

namespace gptc {

// Looks a variable of the environment up; nullopt where it is not set.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

struct Arguments {
  std::vector<std::string> words;  // what CLI11 parses, environment and file included
  std::map<std::string, std::string>
      origins;  // "--lr" -> "GPTC_LR" or "run.toml:3", for those not from the command line
};

// "--grad-accum" -> "GPTC_GRAD_ACCUM".
std::string EnvironmentName(std::string_view long_name);

// Checks that every flag in `words` (what follows the command's name) is one of `app`'s, and adds what the environment
// and
// --config say about flags that are not among them. A TOML key is a flag's name without dashes (or with _ for -) or a
// positional's name, at the top or in any table; tables named as one of `other_commands` are theirs, and skipped.
StatusOr<Arguments> GatherArguments(const CLI::App& app, std::span<const std::string> words,
                                    std::span<const std::string> other_commands, const Environment& environment);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_COMMON_SETTINGS_H_
