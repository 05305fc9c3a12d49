// The training loop: batches -> micro-steps -> update, with evaluation, sampling, metrics and checkpoints around it. It
// knows entry points and state kinds, never ops.
#ifndef GPTC_RUNTIME_TRAIN_TRAINER_H_
#define GPTC_RUNTIME_TRAIN_TRAINER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ir/base/status.h"
#include "runtime/data/loader.h"
#include "runtime/data/tokenizer/tokenizer.h"
#include "runtime/exec/executor.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/metrics.h"
#include "runtime/train/progress.h"
#include "runtime/train/schedule.h"

namespace gptc {

struct TrainOptions {
  std::string data;  // folder of shards
  std::string run;   // output directory
  int64_t steps = 1000;
  double epochs = 0;         // > 0: sets steps
  int64_t grad_accum = 1;    // micro-batches an optimizer step
  int64_t batch_tokens = 0;  // > 0: sets grad_accum; a multiple of the plan's B·T
  Schedule schedule;         // decay_steps 0: = steps
  double weight_decay = 0.1, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, clip = 1.0;
  uint64_t seed = 1337;
  Order order = Order::kShuffled;
  int64_t eval_every = 250, eval_batches = 20;
  int64_t sample_every = 0, sample_tokens = 128;
  int64_t checkpoint_every = 500, keep = 3;
  std::string init_from;  // HF folder, run or checkpoint whose weights to start from
  std::optional<std::string>
      resume;  // "": this run's newest checkpoint; "auto": the same, or anew; else a run or checkpoint
  bool dry_run = false;
  bool read_at_once = false;  // loss and norm of a step before the next one is started
  bool isolate = false;       // ExecutorOptions::isolate: every value in poisoned memory of its own
  bool quiet = false;
};

class Trainer {
 public:
  // The plan, the device and `sample` (called every sample_every steps; may be null) must outlive the trainer.
  Trainer(const plan::PlanT& plan, Device& device, std::string plan_bytes, const TrainOptions& options)
      : plan_(plan), device_(device), plan_bytes_(std::move(plan_bytes)), options_(options) {}

  // Text of config.resolved.toml.
  void set_resolved_config(std::string text) { resolved_config_ = std::move(text); }
  // Generates a text with the current weights.
  void set_sampler(
      std::function<StatusOr<std::string>(Executor&, const Tokenizer*, int64_t tokens, uint64_t seed)> sampler) {
    sampler_ = std::move(sampler);
  }

  // Trains to the last step. Errors: Aborted for a loss that is not finite (checkpoints before it stay), Cancelled
  // after an interruption was saved, OutOfMemory before the first step, and those of data, checkpoints and files.
  Status Run();

 private:
  struct Progressed {    // what a checkpoint's state.json holds
    int64_t step = 0;    // optimizer steps done
    int64_t tokens = 0;  // trained on
    Cursor cursor;
    double best_loss = std::numeric_limits<double>::infinity();
  };

  struct UnderWay {  // a run of an entry point
    BoundEntry* entry = nullptr;
    BoundEntry::Started started;
    int64_t step = 0;
  };
  struct OpenStep {  // started, and not yet done
    int64_t step = 0;
    double lr = 0;
    Cursor cursor;               // behind its batches
    double loss = 0, count = 0;  // sums over the micro-batches read so far
    int64_t micro_batches = 0;   // that were read
    double tokens = 0;           // valid ones of each; 0: they differ
    std::chrono::steady_clock::time_point begin;
  };

  Status CheckPlan() const;
  Status OpenData();
  Status SettleSteps();
  Status PrepareRun();
  Status LoadStart();
  Status Resume(const std::string& from);
  Status Loop();
  // Starts the step. Its results are read at once, or, where the device goes on by itself meanwhile, when the next one
  // has been started.
  Status Step(int64_t step);
  // Starts a run of the step, and waits where only so there is room for it, or results are read at once.
  Status Start(BoundEntry* entry, int64_t step);
  // Waits for the first run under way, and reads its results: with the last of a step's the step is done.
  Status Collect();
  Status CollectAll();
  Status Finish(double norm);
  Status CheckLoss(int64_t step, double loss) const;
  // "step 7: <what>; the checkpoint of step 5 is intact".
  std::string StepFailed(int64_t step, std::string_view what) const;
  StatusOr<double> Validate();
  Status SaveCheckpoint(bool best);
  Status Sample(int64_t step);
  std::string Summary() const;
  // GFLOP/s of products at best, of the device in the plan's precision.
  StatusOr<double> MeasureCeiling();
  // Share of the device's GEMM ceiling at this rate of tokens; none where it is not known. Measures the ceiling once,
  // in a run long enough not to notice.
  std::optional<double> Mfu(double tokens_per_s, double ms);

  const plan::PlanT& plan_;
  Device& device_;
  std::string plan_bytes_, resolved_config_;
  TrainOptions options_;
  std::function<StatusOr<std::string>(Executor&, const Tokenizer*, int64_t, uint64_t)> sampler_;

  int64_t batch_ = 0, sequence_ = 0;
  std::shared_ptr<ShardSet> train_shards_, val_shards_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<BatchLoader> loader_;
  std::optional<EvalWindows> windows_;
  std::optional<MetricsWriter> metrics_;
  std::optional<CheckpointWriter> checkpoints_;
  std::unique_ptr<Progress> progress_;
  Progressed done_;
  std::deque<UnderWay> runs_;
  std::deque<OpenStep> open_;
  // Valid tokens of a micro-batch, as the model counted them in the first one: what lets a step be started before that
  // number of its own has been read. 0: each step's is awaited.
  double tokens_known_ = 0;
  std::chrono::steady_clock::time_point last_done_;
  int64_t saved_step_ = -1;
  double ceiling_gflops_ = 0;  // 0: not measured; below 0: cannot be
  int64_t start_step_ = 0;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_TRAINER_H_
