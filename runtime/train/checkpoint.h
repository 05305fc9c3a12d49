// Checkpoints of a run.
//
// run/checkpoints/step-00001000/ holds model.safetensors, config.json, optimizer-r*.safetensors, state.json, further
// files the caller gives (a tokenizer), and checksums.xxh over all of them. It is written as step-00001000.tmp, every
// file flushed to the disk, renamed, and then the symbolic link `latest` (and `best`) swapped, so that at every moment
// `latest` is whole.
#ifndef GPTC_RUNTIME_TRAIN_CHECKPOINT_H_
#define GPTC_RUNTIME_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/status.h"
#include "nlohmann/json.hpp"
#include "runtime/formats/safetensors.h"

namespace gptc {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kStateFile = "state.json";
// "optimizer-r0.safetensors".
std::string OptimizerFile(int rank);

struct CheckpointContent {
  int64_t step = 0;
  // File name and its tensors: kModelFile, OptimizerFile(0), ...
  std::vector<std::pair<std::string, std::vector<TensorToWrite>>> tensors;
  nlohmann::json state;                                    // state.json
  std::vector<std::pair<std::string, std::string>> files;  // name and text: config.json, tokenizer files
  bool best = false;                                       // swaps the link `best` too
};

// Writes the checkpoints of one run and removes old ones. One at a time for a run.
class CheckpointWriter {
 public:
  // Makes run/checkpoints and removes what a killed run left unfinished in it. Keeps the `keep` newest checkpoints, all
  // where keep <= 0; those that `latest` and `best` point to are never removed.
  static StatusOr<CheckpointWriter> Open(const std::string& run, int64_t keep);

  // Returns the checkpoint's folder. Where it cannot be written (a full disk), says so and removes what it began; what
  // was saved before stays as it was. A checkpoint of the same step is replaced.
  StatusOr<std::string> Write(const CheckpointContent& content);

 private:
  CheckpointWriter(std::string folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}
  Status WriteFiles(const CheckpointContent& content, const std::string& folder) const;
  Status RemoveOld() const;

  std::string folder_;  // run/checkpoints
  int64_t keep_;
};

// The folder of a run's newest checkpoint: what `latest` points to, or where that is missing or dangling, the newest
// step whose checksums hold. nullopt where the run has none (or is not there at all).
StatusOr<std::optional<std::string>> LatestCheckpoint(const std::string& run);

// A checkpoint, verified.
class Checkpoint {
 public:
  // `path` is a run or a checkpoint's folder. Checksums are verified before anything is read; a damaged, missing or
  // unlisted file is DataLoss that names it. NotFound where there is no checkpoint.
  static StatusOr<Checkpoint> Open(const std::string& path);

  const std::string& folder() const { return folder_; }
  // An object; empty where there is no state.json (an imported model).
  const nlohmann::json& state() const { return state_; }
  const Safetensors& model() const { return model_; }
  bool Has(const std::string& file) const;
  // Another file of tensors, such as OptimizerFile(0); NotFound where there is none.
  StatusOr<Safetensors> Tensors(const std::string& file) const;
  // A text file, such as config.json.
  StatusOr<std::string> Text(const std::string& file) const;

 private:
  std::string folder_;
  nlohmann::json state_ = nlohmann::json::object();
  Safetensors model_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_CHECKPOINT_H_
