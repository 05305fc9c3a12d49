#include <memory>
#include <vector>

#include "frontends/common/command.h"
#include "frontends/gptc/compile.h"
#include "frontends/gptc/diff.h"
#include "frontends/gptc/dot.h"
#include "frontends/gptc/explain.h"
#include "frontends/gptc/inspect.h"
#include "frontends/gptc/model.h"

int main(int argc, char** argv) {
  std::vector<std::unique_ptr<gptc::Subcommand>> commands;
  for (auto make :
       {&gptc::MakeModelCommand, &gptc::MakeCompileCommand, &gptc::MakeOptCommand, &gptc::MakePassesCommand,
        &gptc::MakeInspectCommand, &gptc::MakeExplainCommand, &gptc::MakeDiffCommand, &gptc::MakeDotCommand}) {
    commands.push_back(make());
  }
  return gptc::RunProgram({"gptc", "compile GPT-2-class models to plans",
                           "Example:\n  gptc model gpt2 --preset 124M -o gpt2.graph\n  gptc compile gpt2.graph -o "
                           "plan.fb --batch 4 --seq 256"},
                          std::move(commands), argc, argv);
}
