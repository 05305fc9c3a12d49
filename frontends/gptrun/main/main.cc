// gptrun: runs what gptc compiled. One file a subcommand, in frontends/gptrun.
#include "frontends/common/command.h"
#include "frontends/gptrun/detokenize.h"
#include "frontends/gptrun/doctor.h"
#include "frontends/gptrun/eval.h"
#include "frontends/gptrun/export.h"
#include "frontends/gptrun/import.h"
#include "frontends/gptrun/profile.h"
#include "frontends/gptrun/sample.h"
#include "frontends/gptrun/threads.h"
#include "frontends/gptrun/tokenize.h"
#include "frontends/gptrun/train.h"
#include "frontends/gptrun/tune.h"

int main(int argc, char** argv) {
  gptc::SettleSpinning(argv);
  std::vector<std::unique_ptr<gptc::Subcommand>> commands;
  commands.push_back(gptc::MakeTokenizeCommand());
  commands.push_back(gptc::MakeDetokenizeCommand());
  commands.push_back(gptc::MakeTrainCommand());
  commands.push_back(gptc::MakeEvalCommand());
  commands.push_back(gptc::MakeSampleCommand());
  commands.push_back(gptc::MakeImportCommand());
  commands.push_back(gptc::MakeExportCommand());
  commands.push_back(gptc::MakeProfileCommand());
  commands.push_back(gptc::MakeTuneCommand());
  commands.push_back(gptc::MakeDoctorCommand());
  return gptc::RunProgram(
      {.name = "gptrun",
       .description = "gptrun trains, evaluates and samples the plans that gptc compiles.",
       .example = "Example:\n  gptrun tokenize input.txt -o shards/ --tokenizer chars\n  gptrun doctor"},
      std::move(commands), argc, argv);
}
