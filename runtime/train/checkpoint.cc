#include "runtime/train/checkpoint.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "absl/strings/str_format.h"
#include "runtime/formats/files.h"
#include "runtime/formats/xxh.h"

namespace gptc {
namespace {

constexpr std::string_view kTemporary = ".tmp";
constexpr int64_t kMaxTextFile = int64_t{1} << 30;

std::string StepName(int64_t step) { return absl::StrFormat("step-%08d", step); }

// The step of "step-00001000"; nullopt for any other name.
std::optional<int64_t> StepOf(std::string_view name) {
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + 8) return std::nullopt;
  int64_t step = 0;
  auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
  return step;
}

// The steps that a checkpoints folder holds, the newest first.
StatusOr<std::vector<int64_t>> Steps(const std::string& folder) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(folder));
  std::set<int64_t, std::greater<>> steps;
  for (const std::string& name : names) {
    auto step = StepOf(name);
    if (step && StepName(*step) == name && IsDirectory(JoinPath(folder, name))) steps.insert(*step);
  }
  return std::vector<int64_t>(steps.begin(), steps.end());
}

// What the link folder/name points to, as a name in the folder; "" where it is no link.
std::string LinkTarget(const std::string& folder, std::string_view name) {
  std::error_code error;
  std::string target = std::filesystem::read_symlink(JoinPath(folder, name), error).filename().string();
  return error ? std::string() : target;
}

// Puts the folder `from` in the place of `to`. Where `to` exists the two change places in one step, and the old one is
// removed.
Status Replace(const std::string& from, const std::string& to) {
  if (!IsDirectory(to)) return RenamePath(from, to);
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return RemoveAll(from);
  if (errno != EINVAL && errno != ENOSYS) return ErrnoStatus(errno, "replace the folder", to);
  // A file system without exchange: for a moment there is none of that name.
  std::string old = Cat(to, ".old", kTemporary);
  RETURN_IF_ERROR(RemoveAll(old));
  RETURN_IF_ERROR(RenamePath(to, old));
  RETURN_IF_ERROR(RenamePath(from, to));
  return RemoveAll(old);
}

Status WriteText(const std::string& path, std::string_view text) {
  ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(path));
  RETURN_IF_ERROR(writer.Append(text));
  return writer.Finish();
}

bool IsCheckpointFolder(const std::string& path) {
  return IsRegularFile(JoinPath(path, kChecksumsFile)) || IsRegularFile(JoinPath(path, kModelFile)) ||
         IsRegularFile(JoinPath(path, kStateFile));
}

}  // namespace

std::string OptimizerFile(int rank) { return Cat("optimizer-r", rank, ".safetensors"); }

StatusOr<CheckpointWriter> CheckpointWriter::Open(const std::string& run, int64_t keep) {
  std::string folder = JoinPath(run, "checkpoints");
  RETURN_IF_ERROR(MakeDirectories(folder));
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(folder));
  for (const std::string& name : names) {
    if (name.ends_with(kTemporary)) RETURN_IF_ERROR(RemoveAll(JoinPath(folder, name)));
  }
  return CheckpointWriter(std::move(folder), keep);
}

Status CheckpointWriter::WriteFiles(const CheckpointContent& content, const std::string& folder) const {
  RETURN_IF_ERROR(RemoveAll(folder));
  RETURN_IF_ERROR(MakeDirectories(folder));
  for (const auto& [name, tensors] : content.tensors)
    RETURN_IF_ERROR(WriteSafetensors(JoinPath(folder, name), tensors));
  for (const auto& [name, text] : content.files) RETURN_IF_ERROR(WriteText(JoinPath(folder, name), text));
  std::string state = content.state.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  RETURN_IF_ERROR(WriteText(JoinPath(folder, kStateFile), state + "\n"));
  RETURN_IF_ERROR(WriteChecksums(folder));
  return SyncDirectory(folder);
}

StatusOr<std::string> CheckpointWriter::Write(const CheckpointContent& content) {
  const std::string name = StepName(content.step), final_folder = JoinPath(folder_, name);
  const std::string temporary = Cat(final_folder, kTemporary);
  Status status = WriteFiles(content, temporary);
  if (status.ok()) status = Replace(temporary, final_folder);
  if (!status.ok()) {
    (void)RemoveAll(temporary);  // the first error is the one to tell
    return Annotate(status, Cat("saving the checkpoint of step ", content.step, " failed"));
  }
  RETURN_IF_ERROR(SyncDirectory(folder_));
  RETURN_IF_ERROR(AtomicSymlink(name, JoinPath(folder_, "latest")));
  if (content.best) RETURN_IF_ERROR(AtomicSymlink(name, JoinPath(folder_, "best")));
  RETURN_IF_ERROR(RemoveOld());
  return final_folder;
}

Status CheckpointWriter::RemoveOld() const {
  if (keep_ <= 0) return OkStatus();
  ASSIGN_OR_RETURN(std::vector<int64_t> steps, Steps(folder_));
  const std::string latest = LinkTarget(folder_, "latest"), best = LinkTarget(folder_, "best");
  for (size_t i = static_cast<size_t>(keep_); i < steps.size(); ++i) {
    std::string name = StepName(steps[i]);
    if (name == latest || name == best) continue;
    // Renamed first: a kill in the middle must not leave half a checkpoint under a good name.
    std::string doomed = JoinPath(folder_, Cat(name, ".old", kTemporary));
    RETURN_IF_ERROR(RenamePath(JoinPath(folder_, name), doomed));
    RETURN_IF_ERROR(RemoveAll(doomed));
  }
  return OkStatus();
}

StatusOr<std::optional<std::string>> LatestCheckpoint(const std::string& run) {
  std::string folder = JoinPath(run, "checkpoints");
  if (!IsDirectory(folder)) return std::optional<std::string>();
  // The folder itself and not the link, which a run that goes on may swap as the checkpoint is read.
  std::string latest = LinkTarget(folder, "latest");
  if (StepOf(latest) && IsDirectory(JoinPath(folder, latest))) return std::optional(JoinPath(folder, latest));
  ASSIGN_OR_RETURN(std::vector<int64_t> steps, Steps(folder));
  Status first;
  for (int64_t step : steps) {
    std::string candidate = JoinPath(folder, StepName(step));
    Status verified = VerifyChecksums(candidate);
    if (verified.ok()) return std::optional(candidate);
    if (first.ok()) first = verified;
  }
  if (!first.ok()) return first;  // there are checkpoints, and all are damaged: not the same as none
  return std::optional<std::string>();
}

StatusOr<Checkpoint> Checkpoint::Open(const std::string& path) {
  Checkpoint checkpoint;
  if (IsDirectory(JoinPath(path, "checkpoints"))) {
    ASSIGN_OR_RETURN(std::optional<std::string> latest, LatestCheckpoint(path));
    if (!latest) return NotFound("the run '", path, "' has no checkpoint yet");
    checkpoint.folder_ = *latest;
  } else if (IsCheckpointFolder(path)) {
    checkpoint.folder_ = path;
  } else if (!IsDirectory(path)) {
    return NotFound("'", path, "': no such run or checkpoint");
  } else {
    return NotFound("'", path, "' is neither a run (no checkpoints/ in it) nor a checkpoint (no ", kChecksumsFile,
                    " in it)");
  }
  RETURN_IF_ERROR(VerifyChecksums(checkpoint.folder_));
  ASSIGN_OR_RETURN(checkpoint.model_, Safetensors::OpenFile(JoinPath(checkpoint.folder_, kModelFile)));
  if (checkpoint.Has(kStateFile)) {
    ASSIGN_OR_RETURN(std::string text, checkpoint.Text(kStateFile));
    checkpoint.state_ = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!checkpoint.state_.is_object())
      return DataLoss("'", JoinPath(checkpoint.folder_, kStateFile), "' is not a JSON object");
  }
  return checkpoint;
}

bool Checkpoint::Has(const std::string& file) const { return IsRegularFile(JoinPath(folder_, file)); }

StatusOr<Safetensors> Checkpoint::Tensors(const std::string& file) const {
  return Safetensors::OpenFile(JoinPath(folder_, file));
}

StatusOr<std::string> Checkpoint::Text(const std::string& file) const {
  return ReadFileToString(JoinPath(folder_, file), kMaxTextFile);
}

}  // namespace gptc
