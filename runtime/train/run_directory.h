// A run on disk, as cli.md of the design lays it out: plan.fb, config.resolved.toml, metrics.jsonl, tokenizer/,
// checkpoints/.
#ifndef GPTC_RUNTIME_TRAIN_RUN_DIRECTORY_H_
#define GPTC_RUNTIME_TRAIN_RUN_DIRECTORY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/status.h"
#include "runtime/data/tokenizer/tokenizer.h"
#include "runtime/exec/executor.h"
#include "runtime/plan/plan.h"
#include "runtime/train/checkpoint.h"

namespace gptc {

inline constexpr const char* kPlanFile = "plan.fb";
inline constexpr const char* kMetricsFile = "metrics.jsonl";
inline constexpr const char* kTokenizerFolder = "tokenizer";
inline constexpr const char* kResolvedConfigFile = "config.resolved.toml";

// A run opened to use its model: its plan, its newest checkpoint's weights loaded and prepared, its tokenizer.
struct OpenRun {
  std::unique_ptr<plan::PlanT> plan;
  std::unique_ptr<Device> device;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Tokenizer> tokenizer;  // null where the run has none
};

// `path` is a run, or a checkpoint's folder inside of one. Binds only `entries`. Errors name what is missing or
// damaged.
StatusOr<OpenRun> OpenRunDirectory(const std::string& path, const std::vector<std::string>& entries);

// The folder of the run that `path`, a run or a checkpoint's folder inside of one, belongs to. NotFound for anything
// else.
StatusOr<std::string> RunOf(const std::string& path);

// The tokenizer in run/tokenizer, or null where there is none.
StatusOr<std::unique_ptr<Tokenizer>> RunTokenizer(const std::string& run);
// Its files, name and text, as a checkpoint carries them (CheckpointContent::files); none where the run has no
// tokenizer.
StatusOr<std::vector<std::pair<std::string, std::string>>> RunTokenizerFiles(const std::string& run);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_RUN_DIRECTORY_H_
