// What both programs share: subcommands, their flags and where the values come from, errors and exit codes.
#ifndef GPTC_FRONTENDS_COMMON_COMMAND_H_
#define GPTC_FRONTENDS_COMMON_COMMAND_H_

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "ir/base/status.h"

namespace gptc {

// One subcommand. Declare binds flags to members of the subcommand; Run is called once all of them are set.
//
// Flags are GNU long flags (`app.add_option("--grad-accum", grad_accum_, "...")->group("Batch")`), positionals have no
// dashes ("plan"). A flag takes one value each time it is given, so a std::vector member is a flag that may be
// repeated; a positional vector takes what is left. An optional value (`--resume[=PATH]`) is `->expected(0,
// 1)->default_str("latest")`. Counts are best int64_t (an unsigned member reads -1 as a huge number). RunProgram adds
// -h/--help, -v/--verbose, -q/--quiet and --config to each; a Declare that calls app.footer("Example:\n  ...") ends
// --help with it.
class Subcommand {
 public:
  virtual ~Subcommand() = default;
  virtual std::string name() const = 0;     // "train"
  virtual std::string summary() const = 0;  // one line, as the list of commands shows it
  virtual void Declare(CLI::App& app) = 0;
  virtual Status Run() = 0;
};

struct ProgramInfo {
  std::string name;         // "gptrun"
  std::string description;  // one line
  std::string example;      // closes --help
};

// Runs `name COMMAND ...` and returns the exit code (ir/base/status.h). A value comes from the flag, else from the
// environment (--grad-accum is GPTC_GRAD_ACCUM), else from --config FILE.toml, else it is the default. Usage errors
// name the flag and where its value came from, and a misspelt command, flag or key the nearest right one.
int RunProgram(const ProgramInfo& program, std::vector<std::unique_ptr<Subcommand>> commands, int argc, char** argv);

// The flags of `app` with the values they have after parsing, as TOML that --config reads: config.resolved.toml.
// Flags that were not given and have no default are left out; so are those that RunProgram added.
std::string ResolvedToml(const CLI::App& app);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_COMMON_COMMAND_H_
