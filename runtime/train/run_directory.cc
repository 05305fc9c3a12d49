#include "runtime/train/run_directory.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "runtime/data/tokenizer/load.h"
#include "runtime/devices/device_for.h"
#include "runtime/formats/files.h"
#include "runtime/train/weights.h"

namespace gptc {
namespace {

constexpr int64_t kMaxTokenizerFile = int64_t{1} << 28;

}  // namespace

StatusOr<std::string> RunOf(const std::string& path) {
  if (!IsDirectory(path))
    return NotFound("there is no run '", path, "'; give a folder that gptrun train or gptrun import made");
  if (IsRegularFile(JoinPath(path, kPlanFile)) || IsDirectory(JoinPath(path, "checkpoints"))) return path;
  // run/checkpoints/step-00001000, perhaps by way of the link `latest`.
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(path, error);
  if (!error && folder.parent_path().filename() == "checkpoints") return folder.parent_path().parent_path().string();
  return NotFound("'", path, "' is no run: it has neither ", kPlanFile,
                  " nor checkpoints/; gptrun import makes a run of a model's folder");
}

StatusOr<OpenRun> OpenRunDirectory(const std::string& path, const std::vector<std::string>& entries) {
  ASSIGN_OR_RETURN(const std::string run, RunOf(path));
  const std::string plan_path = JoinPath(run, kPlanFile);
  if (!IsRegularFile(plan_path))
    return NotFound("the run '", run, "' has no ", kPlanFile, "; compile its model with gptc compile");
  OpenRun open;
  ASSIGN_OR_RETURN(open.plan, ReadPlan(plan_path));
  StatusOr<std::unique_ptr<Device>> device = DeviceFor(open.plan->target);
  if (!device.ok()) return Annotate(device.status(), plan_path);
  open.device = *std::move(device);
  for (const std::string& entry : entries) {
    if (FindEntry(*open.plan, entry) == nullptr && entry != "prepare") {
      return InvalidArgument(plan_path, ": the plan of this ", open.plan->model, " has no entry point ", entry);
    }
  }
  // Before the checkpoint is read and its checksums verified: what cannot run here should say so at once.
  std::vector<std::string> bound = entries;
  bound.push_back("prepare");
  ASSIGN_OR_RETURN(open.executor, Executor::Create(*open.plan, *open.device, {.entries = bound}));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(path));
  RETURN_IF_ERROR(LoadWeights(checkpoint.model(), JoinPath(checkpoint.folder(), kModelFile), *open.executor));
  RETURN_IF_ERROR(open.executor->RunIfPresent("prepare"));
  ASSIGN_OR_RETURN(open.tokenizer, RunTokenizer(run));
  return open;
}

StatusOr<std::unique_ptr<Tokenizer>> RunTokenizer(const std::string& run) {
  const std::string folder = JoinPath(run, kTokenizerFolder);
  if (!IsDirectory(folder)) return std::unique_ptr<Tokenizer>();
  return LoadTokenizer(folder);
}

StatusOr<std::vector<std::pair<std::string, std::string>>> RunTokenizerFiles(const std::string& run) {
  std::vector<std::pair<std::string, std::string>> files;
  const std::string folder = JoinPath(run, kTokenizerFolder);
  if (!IsDirectory(folder)) return files;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(folder));
  for (const std::string& name : names) {
    const std::string file = JoinPath(folder, name);
    if (!IsRegularFile(file)) continue;
    ASSIGN_OR_RETURN(std::string text, ReadFileToString(file, kMaxTokenizerFile));
    files.emplace_back(name, std::move(text));
  }
  return files;
}

}  // namespace gptc
