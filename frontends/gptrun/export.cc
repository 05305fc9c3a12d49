// gptrun export: a run's model in the form of other programs.
#include "frontends/gptrun/export.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "frontends/common/terminal.h"
#include "frontends/gptrun/compiler_process.h"
#include "nlohmann/json.hpp"
#include "runtime/formats/files.h"
#include "runtime/train/run_directory.h"
#include "runtime/train/weights.h"

namespace gptc {
namespace {

class ExportCommand : public Subcommand {
 public:
  std::string name() const override { return "export"; }
  std::string summary() const override { return "write a run's model for other programs"; }

  void Declare(CLI::App& app) override {
    app.add_option("run", run_, "A run, or a checkpoint in one")->required();
    app.add_option("--format", format_, "hf: a folder that transformers' from_pretrained reads")->required();
    app.add_option("--dtype", dtype_, "f32, bf16 or f16")->capture_default_str();
    app.add_option("-o,--output", output_, "Where to")->required();
    app.footer("Example:\n  gptrun export run/ --format hf --dtype bf16 -o model/");
  }

  Status Run() override {
    if (format_ != "hf") return UsageError("--format ", format_, ": the form that can be written is hf");
    ElementType type;
    if (dtype_ == "f32") {
      type = ElementType::kF32;
    } else if (dtype_ == "bf16") {
      type = ElementType::kBF16;
    } else if (dtype_ == "f16") {
      type = ElementType::kF16;
    } else {
      return UsageError("--dtype ", dtype_, ": must be f32, bf16 or f16");
    }
    while (output_.size() > 1 && output_.ends_with('/')) output_.pop_back();
    if (std::error_code error; std::filesystem::exists(output_, error) && !std::filesystem::is_empty(output_, error)) {
      return absl::AlreadyExistsError(
          Cat("'", output_, "' exists and is not empty; export into a new folder, or remove it"));
    }
    RETURN_IF_ERROR(EnsurePlan(run_));
    ASSIGN_OR_RETURN(const OpenRun run, OpenRunDirectory(run_, {}));
    const std::string work = Cat(output_, ".tmp-", getpid());
    Status status = Write(run, type, work);
    if (status.ok()) status = RenamePath(work, output_);
    if (!status.ok()) {
      (void)RemoveAll(work);  // the first error is the one to tell
      return Annotate(status, Cat("cannot export to '", output_, "'"));
    }
    Log(Cat("exported ", Grouped(ParameterCount(*run.plan)), " parameters in ", dtype_, " to '", output_, "'"));
    return OkStatus();
  }

 private:
  Status Write(const OpenRun& run, ElementType type, const std::string& folder) const {
    RETURN_IF_ERROR(RemoveAll(folder));
    RETURN_IF_ERROR(MakeDirectories(folder));
    RETURN_IF_ERROR(WriteSafetensors(JoinPath(folder, kModelFile), WeightsToWrite(*run.executor, type)));
    ASSIGN_OR_RETURN(const int eot, EndOfText(run));
    RETURN_IF_ERROR(AtomicWriteFile(JoinPath(folder, "config.json"), ConfigJson(*run.plan, eot, type)));
    if (run.tokenizer == nullptr) return OkStatus();
    return run.tokenizer->Save(folder);
  }

  // The tokenizer's, else what the checkpoint's own config.json says (a model imported without a tokenizer), else -1.
  StatusOr<int> EndOfText(const OpenRun& run) const {
    if (run.tokenizer != nullptr) return run.tokenizer->eot().value_or(-1);
    ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(run_));
    if (!checkpoint.Has("config.json")) return -1;
    ASSIGN_OR_RETURN(const std::string text, checkpoint.Text("config.json"));
    const nlohmann::json config = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object() || !config.contains("eos_token_id") || !config["eos_token_id"].is_number_integer())
      return -1;
    return config["eos_token_id"].get<int>();
  }

  std::string run_, format_, dtype_ = "f32", output_;
};

}  // namespace

std::unique_ptr<Subcommand> MakeExportCommand() { return std::make_unique<ExportCommand>(); }

}  // namespace gptc
