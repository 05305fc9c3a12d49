// gptrun eval: the loss of a run's model on held-out data, or its score on HellaSwag.
#include "frontends/gptrun/eval.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "absl/strings/str_format.h"
#include "frontends/common/terminal.h"
#include "frontends/gptrun/compiler_process.h"
#include "frontends/gptrun/threads.h"
#include "nlohmann/json.hpp"
#include "runtime/data/tokenizer/load.h"
#include "runtime/formats/npy.h"
#include "runtime/train/evaluate.h"
#include "runtime/train/run_directory.h"

namespace gptc {
namespace {

using nlohmann::json;

// "312/10042", at most every five seconds, so that a pipe's log stays short.
class DoneLines {
 public:
  explicit DoneLines(std::string what) : what_(std::move(what)) {}
  void operator()(int64_t done, int64_t of) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::seconds(5)) return;
    last_ = now;
    Log(Cat(Grouped(done), " of ", Grouped(of), " ", what_));
  }

 private:
  std::string what_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

class EvalCommand : public Subcommand {
 public:
  std::string name() const override { return "eval"; }
  std::string summary() const override { return "measure a run's model on held-out data"; }

  void Declare(CLI::App& app) override {
    app.add_option("run", run_, "A run, or a checkpoint in one")->required();
    auto* data =
        app.add_option("--data", data_, "A folder of token shards: loss, perplexity and bits per byte")->group("Loss");
    app.add_option("--split", split_, "Which of its splits")->capture_default_str()->group("Loss");
    app.add_option("--per-token", per_token_, "Write every position's loss to this .npy: f32 [windows, T]")
        ->needs(data)
        ->group("Loss");
    auto* hellaswag =
        app.add_option("--hellaswag", hellaswag_, "A file of HellaSwag questions (hellaswag_val.jsonl): accuracy")
            ->excludes(data)
            ->group("HellaSwag");
    app.add_option("--tokenizer", tokenizer_, "Another tokenizer than the run's")->needs(hellaswag)->group("HellaSwag");
    DeclareThreads(app, threads_);
    app.add_flag("--json", json_, "As one JSON object");
    app.footer("Example:\n  gptrun eval run/ --data shards/ --split val");
  }

  Status Run() override {
    if (data_.empty() && hellaswag_.empty()) return UsageError("eval needs --data SHARDS or --hellaswag FILE");
    ApplyThreads(threads_);
    RETURN_IF_ERROR(EnsurePlan(run_));
    ASSIGN_OR_RETURN(const OpenRun run, OpenRunDirectory(run_, {kScoreEntry}));
    ASSIGN_OR_RETURN(const Scorer scorer, Scorer::Create(*run.executor));
    const int64_t vocab = ConfigInt(*run.plan, "vocab", int64_t{1} << 31);
    return hellaswag_.empty() ? Loss(scorer, vocab) : HellaSwag(scorer, run, vocab);
  }

 private:
  Status Loss(const Scorer& scorer, int64_t vocab) {
    ASSIGN_OR_RETURN(ShardSet set, ShardSet::Open(data_, split_));
    RETURN_IF_ERROR(set.Validate(vocab));
    const auto shards = std::make_shared<const ShardSet>(std::move(set));
    std::optional<NpyWriter> file;
    if (!per_token_.empty()) {
      const int64_t windows = (shards->tokens() - 1) / scorer.sequence;
      if (windows < 1)
        return InvalidArgument("'", data_, "' holds ", shards->tokens(), " tokens of ", split_, ", not one window of ",
                               scorer.sequence);
      ASSIGN_OR_RETURN(file, NpyWriter::Create(per_token_, windows, scorer.sequence));
    }
    auto write = [&](std::span<const float> losses) { return file->Append(losses); };
    ASSIGN_OR_RETURN(const Evaluation result,
                     EvaluateWindows(scorer, shards, file ? LossesCallback(write) : nullptr, DoneLines("windows")));
    if (file) RETURN_IF_ERROR(file->Finish());
    const double perplexity = std::exp(result.loss);
    std::optional<double> bits;
    if (const auto bytes = shards->bytes_per_token(); bytes && *bytes > 0) bits = result.loss / std::log(2.0) / *bytes;
    if (json_) {
      return WriteOutput("-", json({{"loss", result.loss},
                                    {"perplexity", perplexity},
                                    {"bits_per_byte", bits ? json(*bits) : json(nullptr)},
                                    {"tokens", result.tokens},
                                    {"windows", result.windows}})
                                      .dump() +
                                  "\n");
    }
    std::string text = absl::StrFormat("loss %.6f | perplexity %.4f", result.loss, perplexity);
    if (bits) text += absl::StrFormat(" | %.4f bits per byte", *bits);
    return WriteOutput("-", text + Cat(" | ", Grouped(result.tokens), " tokens in ", Grouped(result.windows),
                                       " windows of ", scorer.sequence, "\n"));
  }

  Status HellaSwag(const Scorer& scorer, const OpenRun& run, int64_t vocab) {
    std::unique_ptr<Tokenizer> other;
    if (!tokenizer_.empty()) {
      ASSIGN_OR_RETURN(other, LoadTokenizer(tokenizer_));
    }
    const Tokenizer* tokenizer = other != nullptr ? other.get() : run.tokenizer.get();
    if (tokenizer == nullptr) return NotFound("the run '", run_, "' has no tokenizer; name one with --tokenizer");
    ASSIGN_OR_RETURN(const std::string text, ReadFileToString(hellaswag_));
    ASSIGN_OR_RETURN(const std::vector<Choice> choices, ParseHellaSwag(text, hellaswag_));
    const StatusOr<HellaSwagResult> result =
        EvaluateHellaSwag(scorer, *tokenizer, vocab, choices, DoneLines("questions"));
    if (!result.ok()) return Annotate(result.status(), hellaswag_);
    if (json_) {
      return WriteOutput("-", json({{"acc", result->accuracy},
                                    {"acc_norm", result->accuracy_normalized},
                                    {"examples", choices.size()},
                                    {"chosen", result->chosen}})
                                      .dump() +
                                  "\n");
    }
    return WriteOutput("-", absl::StrFormat("acc %.4f | acc_norm %.4f | %d examples\n", result->accuracy,
                                            result->accuracy_normalized, choices.size()));
  }

  std::string run_, data_, split_ = "val", per_token_, hellaswag_, tokenizer_;
  int64_t threads_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeEvalCommand() { return std::make_unique<EvalCommand>(); }

}  // namespace gptc
