// gptrun import: a model of Hugging Face's form becomes a run.
#include "frontends/gptrun/import.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "frontends/common/terminal.h"
#include "frontends/gptrun/compiler_process.h"
#include "runtime/cpu/kernels.h"
#include "runtime/data/tokenizer/load.h"
#include "runtime/formats/files.h"
#include "runtime/formats/hf_config.h"
#include "runtime/formats/safetensors.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/run_directory.h"
#include "runtime/train/weights.h"

namespace gptc {
namespace {

// The folder of config.json and the file or folder of the weights.
struct Source {
  std::string folder, weights;
};

StatusOr<Source> SourceOf(const std::string& path) {
  if (IsRegularFile(path)) {
    if (!path.ends_with(".safetensors") && !path.ends_with(".safetensors.index.json")) {
      return InvalidArgument("'", path,
                             "' is no model that import reads: give a Hugging Face folder (config.json, "
                             "model.safetensors) or its model.safetensors");
    }
    const std::string folder = std::filesystem::path(path).parent_path().string();
    return Source{folder.empty() ? "." : folder, path};
  }
  if (!IsDirectory(path)) return NotFound("there is no file or folder '", path, "'");
  if (IsDirectory(JoinPath(path, "checkpoints"))) return InvalidArgument("'", path, "' is a run already");
  return Source{path, path};
}

Status RequireConfig(const Source& source) {
  if (!IsRegularFile(JoinPath(source.folder, "config.json"))) {
    return NotFound("'", source.folder,
                    "' has no config.json, which says the model's shape; import needs it beside the weights");
  }
  if (source.weights != source.folder) return OkStatus();
  for (const char* file : {"model.safetensors", "model.safetensors.index.json"}) {
    if (IsRegularFile(JoinPath(source.folder, file))) return OkStatus();
  }
  const bool torch = IsRegularFile(JoinPath(source.folder, "pytorch_model.bin"));
  return NotFound("'", source.folder, "' has no model.safetensors",
                  torch ? "; pytorch_model.bin is not read (it is a pickle, which can run code): save the model again "
                          "with save_pretrained(safe_serialization=True)"
                        : "");
}

// Models without biases, which config.json does not tell, are known by their tensors.
std::vector<std::string> SettingsFor(const Safetensors& tensors) {
  for (const auto& [name, tensor] : tensors.tensors()) {
    if (name.ends_with("attn.c_attn.bias")) return {};
  }
  return {"bias=false"};
}

class ImportCommand : public Subcommand {
 public:
  std::string name() const override { return "import"; }
  std::string summary() const override { return "make a run of a model's weights"; }

  void Declare(CLI::App& app) override {
    app.add_option("model", model_,
                   "A Hugging Face folder (config.json, model.safetensors, tokenizer files) or its model.safetensors")
        ->required();
    app.add_option("-o,--output", output_, "The run to make")->required();
    app.footer("Example:\n  gptrun import gpt2/ -o run/ && gptrun sample run/ --prompt Hello");
  }

  Status Run() override {
    while (output_.size() > 1 && output_.ends_with('/')) output_.pop_back();
    if (std::error_code error; std::filesystem::exists(output_, error) && !std::filesystem::is_empty(output_, error)) {
      return absl::AlreadyExistsError(
          Cat("'", output_, "' exists and is not empty; import into a new folder, or remove it"));
    }
    ASSIGN_OR_RETURN(const Source source, SourceOf(model_));
    RETURN_IF_ERROR(RequireConfig(source));
    // All of it under another name first: a run that exists is whole.
    const std::string work = Cat(output_, ".tmp-", getpid());
    Status status = MakeRun(source, work);
    if (status.ok()) status = RenamePath(work, output_);
    if (!status.ok()) (void)RemoveAll(work);  // the first error is the one to tell
    return status;
  }

 private:
  Status MakeRun(const Source& source, const std::string& run) {
    RETURN_IF_ERROR(RemoveAll(run));
    RETURN_IF_ERROR(MakeDirectories(run));
    ASSIGN_OR_RETURN(const Safetensors tensors, Safetensors::Open(source.weights));
    ASSIGN_OR_RETURN(const HfConfig config, ReadHfConfig(JoinPath(source.folder, "config.json")));
    RETURN_IF_ERROR(CompilePlanFrom(source.folder, SettingsFor(tensors), JoinPath(run, kPlanFile)));
    ASSIGN_OR_RETURN(const std::unique_ptr<plan::PlanT> plan, ReadPlan(JoinPath(run, kPlanFile)));
    // No entry point is run: the states alone take memory.
    ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                     Executor::Create(*plan, &CpuKernel, {.entries = {"prepare"}}));
    RETURN_IF_ERROR(LoadWeights(tensors, source.weights, *executor));

    int eot = static_cast<int>(config.eos.value_or(-1));
    RETURN_IF_ERROR(TakeTokenizer(source.folder, run, config.vocab, eot));
    CheckpointContent content;
    content.tensors.emplace_back(kModelFile, WeightsToWrite(*executor));
    content.state = {{"step", 0}, {"tokens", 0}, {"imported_from", model_}};
    ASSIGN_OR_RETURN(content.files, RunTokenizerFiles(run));
    content.files.emplace_back("config.json", ConfigJson(*plan, eot));
    ASSIGN_OR_RETURN(CheckpointWriter writer, CheckpointWriter::Open(run, /*keep=*/0));
    RETURN_IF_ERROR(writer.Write(content).status());
    Log(Cat("imported ", Grouped(ParameterCount(*plan)), " parameters into '", output_, "'"));
    return OkStatus();
  }

  // Into run/tokenizer, where the folder has one; `eot` becomes its end-of-text token.
  static Status TakeTokenizer(const std::string& folder, const std::string& run, int64_t vocab, int& eot) {
    StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(folder);
    if (absl::IsNotFound(tokenizer.status())) {
      Log(Cat("'", folder, "' has no tokenizer; sample and eval --hellaswag will ask for --tokenizer"));
      return OkStatus();
    }
    RETURN_IF_ERROR(tokenizer.status());
    if ((*tokenizer)->vocab_size() > vocab) {
      return InvalidArgument("'", folder, "': its tokenizer has ", (*tokenizer)->vocab_size(),
                             " tokens and its model knows ", vocab, "; they do not belong together");
    }
    if ((*tokenizer)->eot()) eot = *(*tokenizer)->eot();
    return (*tokenizer)->Save(JoinPath(run, kTokenizerFolder));
  }

  std::string model_, output_;
};

}  // namespace

std::unique_ptr<Subcommand> MakeImportCommand() { return std::make_unique<ImportCommand>(); }

}  // namespace gptc
