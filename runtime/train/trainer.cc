#include "runtime/train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_format.h"
#include "ir/base/check.h"
#include "ir/base/scalars.h"
#include "runtime/cpu/ceilings.h"
#include "runtime/cpu/populate.h"
#include "runtime/data/tokenizer/load.h"
#include "runtime/formats/files.h"
#include "runtime/train/initialize.h"
#include "runtime/train/run_directory.h"
#include "runtime/train/signals.h"
#include "runtime/train/weights.h"

namespace gptc {
namespace {

using Clock = std::chrono::steady_clock;

std::span<int32_t> Ids(const TensorView& view) { return {view.as<int32_t>(), static_cast<size_t>(view.count())}; }

bool IsOptimizerState(const plan::StateT& state) { return state.kind == plan::StateKind::Optimizer; }

}  // namespace

Status Trainer::Run() {
  RETURN_IF_ERROR(CheckPlan());
  RETURN_IF_ERROR(OpenData());
  RETURN_IF_ERROR(SettleSteps());
  ASSIGN_OR_RETURN(executor_, Executor::Create(plan_, device_, {.entries = {}, .isolate = options_.isolate}));
  progress_ = std::make_unique<Progress>(STDERR_FILENO,
                                         options_.quiet ? Progress::Mode::kQuiet : ProgressModeOf(STDERR_FILENO));
  progress_->Note(Summary());
  if (options_.dry_run) {
    progress_->Note("dry run: plan, data and memory are in order; nothing was written");
    return OkStatus();
  }
  Populate(executor_->MemoryOf(std::vector<std::string>{"micro_step.only", "micro_step.first", "micro_step.middle",
                                                        "micro_step.last", "update", "prepare"}));
  RETURN_IF_ERROR(PrepareRun());
  Status status = Loop();
  progress_->Finish();
  return status;
}

Status Trainer::CheckPlan() const {
  for (const char* name : {"micro_step.only", "micro_step.first", "micro_step.middle", "micro_step.last", "update"}) {
    const plan::EntryT* entry = FindEntry(plan_, name);
    if (entry == nullptr)
      return InvalidArgument("the plan cannot train: it has no entry point ", name,
                             "; compile a model with a `train` graph");
  }
  if (DimensionOf(plan_, "B") < 1 || DimensionOf(plan_, "T") < 1)
    return InvalidArgument("the plan names no B and T; compile the model again");
  return OkStatus();
}

Status Trainer::OpenData() {
  batch_ = DimensionOf(plan_, "B");
  sequence_ = DimensionOf(plan_, "T");
  int64_t vocab = ConfigInt(plan_, "vocab", int64_t{1} << 31);
  ASSIGN_OR_RETURN(ShardSet train, ShardSet::Open(options_.data, "train"));
  train_shards_ = std::make_shared<ShardSet>(std::move(train));
  RETURN_IF_ERROR(train_shards_->Validate(vocab));
  StatusOr<ShardSet> val = ShardSet::Open(options_.data, "val");
  if (val.ok()) {
    val_shards_ = std::make_shared<ShardSet>(*std::move(val));
    RETURN_IF_ERROR(val_shards_->Validate(vocab));
    StatusOr<EvalWindows> windows = EvalWindows::Create(val_shards_, batch_, sequence_);
    if (windows.ok()) windows_ = *std::move(windows);
  } else if (!absl::IsNotFound(val.status())) {
    return val.status();
  }
  if (IsDirectory(JoinPath(options_.data, kTokenizerFolder))) {
    ASSIGN_OR_RETURN(tokenizer_, LoadTokenizer(JoinPath(options_.data, kTokenizerFolder)));
  }
  return OkStatus();
}

Status Trainer::SettleSteps() {
  int64_t micro_tokens = batch_ * sequence_;
  if (options_.batch_tokens > 0) {
    if (options_.batch_tokens % micro_tokens != 0) {
      return UsageError("--batch-tokens ", options_.batch_tokens,
                        ": must be a multiple of the plan's micro-batch, B·T = ", batch_, "·", sequence_, " = ",
                        micro_tokens);
    }
    options_.grad_accum = options_.batch_tokens / micro_tokens;
  }
  if (options_.epochs > 0) {
    int64_t windows = (train_shards_->tokens() - 1) / sequence_;
    options_.steps = std::max<int64_t>(1, std::llround(options_.epochs * static_cast<double>(windows) /
                                                       static_cast<double>(batch_ * options_.grad_accum)));
  }
  if (options_.schedule.decay_steps <= 0) options_.schedule.decay_steps = options_.steps;
  return CheckSchedule(options_.schedule);
}

Status Trainer::PrepareRun() {
  bool exists = IsRegularFile(JoinPath(options_.run, kPlanFile)) || IsDirectory(JoinPath(options_.run, "checkpoints"));
  bool other = options_.resume && !options_.resume->empty() && *options_.resume != "auto";
  if (exists && (!options_.resume || other)) {
    return absl::AlreadyExistsError(
        Cat(options_.run, " holds a run already; give --resume to go on with it, or another -o"));
  }
  if (exists && tokenizer_ != nullptr) {
    ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> before, RunTokenizer(options_.run));
    if (before != nullptr && before->hash() != tokenizer_->hash()) {
      return InvalidArgument(options_.data, ": these shards were made with another tokenizer than the run in ",
                             options_.run, "; tokenize the text with --tokenizer ",
                             JoinPath(options_.run, kTokenizerFolder));
    }
  }
  std::string from;
  if (options_.resume) {
    ASSIGN_OR_RETURN(std::optional<std::string> latest, LatestCheckpoint(other ? *options_.resume : options_.run));
    if (other) {
      from = latest.value_or(*options_.resume);
    } else if (latest) {
      from = *latest;
    } else if (*options_.resume != "auto") {
      return NotFound("--resume: ", options_.run,
                      " has no checkpoint to go on from; give --resume=auto to start anew where there is none");
    }
  }
  if (!from.empty()) {
    RETURN_IF_ERROR(Resume(from));
  } else {
    RETURN_IF_ERROR(LoadStart());
  }
  LoaderOptions loader{.batch = batch_,
                       .sequence = sequence_,
                       .order = options_.order,
                       .seed = options_.seed,
                       .rank = 0,
                       .ranks = 1,
                       .cursor = done_.cursor,
                       .prefetch = 4};
  ASSIGN_OR_RETURN(loader_, BatchLoader::Create(train_shards_, loader));

  RETURN_IF_ERROR(MakeDirectories(options_.run));
  RETURN_IF_ERROR(AtomicWriteFile(JoinPath(options_.run, kPlanFile), plan_bytes_));
  RETURN_IF_ERROR(AtomicWriteFile(JoinPath(options_.run, kResolvedConfigFile), resolved_config_));
  if (tokenizer_ != nullptr) RETURN_IF_ERROR(tokenizer_->Save(JoinPath(options_.run, kTokenizerFolder)));
  ASSIGN_OR_RETURN(checkpoints_, CheckpointWriter::Open(options_.run, options_.keep));
  std::string metrics = JoinPath(options_.run, kMetricsFile);
  RETURN_IF_ERROR(DropMetricsAfter(metrics, done_.step));
  ASSIGN_OR_RETURN(metrics_, MetricsWriter::Open(metrics));
  return executor_->RunIfPresent("prepare");
}

Status Trainer::LoadStart() {
  RETURN_IF_ERROR(InitializeParameters(*executor_, options_.seed));
  if (options_.init_from.empty()) return OkStatus();
  // A run or a checkpoint of ours is verified by its checksums; any other folder is a Hugging Face one.
  ASSIGN_OR_RETURN(std::optional<std::string> latest, LatestCheckpoint(options_.init_from));
  std::string folder = latest.value_or(options_.init_from);
  if (IsRegularFile(JoinPath(folder, "checksums.xxh"))) {
    ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(folder));
    return LoadWeights(checkpoint.model(), folder, *executor_);
  }
  ASSIGN_OR_RETURN(Safetensors tensors, Safetensors::Open(folder));
  return LoadWeights(tensors, folder, *executor_);
}

Status Trainer::Resume(const std::string& from) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(from));
  RETURN_IF_ERROR(LoadWeights(checkpoint.model(), checkpoint.folder(), *executor_));
  ASSIGN_OR_RETURN(Safetensors optimizer, checkpoint.Tensors(OptimizerFile(0)));
  for (size_t i = 0; i < plan_.states.size(); ++i) {
    const plan::StateT& state = *plan_.states[i];
    if (!IsOptimizerState(state)) continue;
    const StoredTensor* stored = optimizer.Find(state.name);
    const std::string where = JoinPath(checkpoint.folder(), OptimizerFile(0));
    if (stored == nullptr)
      return InvalidArgument(where, ": has no tensor ", state.name,
                             ", which the plan's optimizer needs; --init-from takes the weights alone");
    RETURN_IF_ERROR(Annotate(LoadState(*stored, *executor_, static_cast<int>(i)), where));
  }
  const nlohmann::json& state = checkpoint.state();
  auto number = [&](const char* key, double otherwise) {
    return state.contains(key) && state[key].is_number() ? state[key].get<double>() : otherwise;
  };
  if (!state.contains("step") || !state["step"].is_number_integer()) {
    return InvalidArgument(JoinPath(checkpoint.folder(), kStateFile),
                           ": names no step to go on from; --init-from takes the weights alone");
  }
  done_.step = state["step"].get<int64_t>();
  done_.tokens = static_cast<int64_t>(number("tokens", 0));
  done_.best_loss = number("best_loss", std::numeric_limits<double>::infinity());
  done_.cursor.windows = static_cast<int64_t>(number("windows", 0));
  int64_t sequence = static_cast<int64_t>(number("sequence", static_cast<double>(sequence_)));
  if (sequence != sequence_ && sequence > 0) {  // windows of another length: go on behind the tokens seen
    done_.cursor.windows = (done_.cursor.windows * sequence + sequence_ - 1) / sequence_;
  }
  start_step_ = saved_step_ = done_.step;
  progress_->Note(Cat("resumed ", checkpoint.folder(), " at step ", done_.step));
  return OkStatus();
}

Status Trainer::Loop() {
  InterruptGuard guard;
  executor_->SetScalar(kBeta1, options_.beta1);
  executor_->SetScalar(kBeta2, options_.beta2);
  executor_->SetScalar(kEpsilon, options_.epsilon);
  executor_->SetScalar(kWeightDecay, options_.weight_decay);
  executor_->SetScalar(kClip, options_.clip);
  executor_->SetScalar(kLossScale, 1);
  executor_->SetScalar(kSeed, static_cast<double>(options_.seed & ((uint64_t{1} << 53) - 1)));
  for (int64_t step = done_.step + 1; step <= options_.steps; ++step) {
    RETURN_IF_ERROR(Step(step));
    const bool last = step == options_.steps;
    const bool evaluates = options_.eval_every > 0 && windows_ && (step % options_.eval_every == 0 || last);
    const bool samples = options_.sample_every > 0 && step % options_.sample_every == 0;
    const bool due = options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0;
    if (!evaluates && !samples && !due && !last && !Interrupted()) continue;
    RETURN_IF_ERROR(CollectAll());
    bool best = false;
    if (evaluates) {
      ASSIGN_OR_RETURN(double loss, Validate());
      RETURN_IF_ERROR(metrics_->WriteVal(step, loss));
      progress_->Note(
          absl::StrFormat("step %d | val loss %.4f%s", step, loss, loss < done_.best_loss ? " | best so far" : ""));
      best = loss < done_.best_loss;
      done_.best_loss = std::min(done_.best_loss, loss);
    }
    if (samples) RETURN_IF_ERROR(Sample(step));
    const bool interrupted = Interrupted();
    if (due || interrupted || last || (best && options_.checkpoint_every > 0)) RETURN_IF_ERROR(SaveCheckpoint(best));
    if (interrupted) {
      return absl::CancelledError(Cat("interrupted; saved at step ", step, ", go on with --resume"));
    }
  }
  if (saved_step_ < done_.step) RETURN_IF_ERROR(SaveCheckpoint(false));
  return OkStatus();
}

Status Trainer::Step(int64_t step) {
  const bool late = tokens_known_ > 0;
  const double lr = LearningRate(options_.schedule, step);
  open_.push_back({.step = step, .lr = lr, .begin = Clock::now()});
  executor_->SetScalar(kStep, static_cast<double>(step));
  executor_->SetScalar(kLearningRate, lr);
  for (int64_t micro = 0; micro < options_.grad_accum; ++micro) {
    const bool first = micro == 0, last = micro + 1 == options_.grad_accum;
    BoundEntry* entry = executor_->entry(first && last ? "micro_step.only"
                                         : first       ? "micro_step.first"
                                         : last        ? "micro_step.last"
                                                       : "micro_step.middle");
    while (!entry->CanStart()) RETURN_IF_ERROR(Collect());
    RETURN_IF_ERROR(loader_->Next(Ids(entry->input("tokens")), Ids(entry->input("targets"))));
    executor_->SetScalar(kFirstSequence, static_cast<double>(loader_->first_sequence()));
    RETURN_IF_ERROR(Start(entry, step));
  }
  open_.back().cursor = loader_->cursor();
  if (!late) RETURN_IF_ERROR(CheckLoss(step, open_.back().loss / open_.back().count));
  const double count = late ? tokens_known_ * static_cast<double>(options_.grad_accum) : open_.back().count;
  executor_->SetScalar(kInverseTokens, 1 / count);
  RETURN_IF_ERROR(Start(executor_->entry("update"), step));
  while (!runs_.empty() && runs_.front().step < step) RETURN_IF_ERROR(Collect());
  return OkStatus();
}

Status Trainer::Start(BoundEntry* entry, int64_t step) {
  while (!entry->CanStart()) RETURN_IF_ERROR(Collect());
  runs_.push_back({entry, entry->Start(), step});
  return tokens_known_ > 0 ? OkStatus() : CollectAll();
}

Status Trainer::CollectAll() {
  while (!runs_.empty()) RETURN_IF_ERROR(Collect());
  return OkStatus();
}

Status Trainer::Collect() {
  const UnderWay run = runs_.front();
  runs_.pop_front();
  OpenStep& open = open_.front();
  if (const Status status = run.entry->Wait(run.started); !status.ok()) {
    return absl::Status(status.code(), StepFailed(run.step, Message(status)));
  }
  if (open.micro_batches == options_.grad_accum) return Finish(*run.entry->output(run.started, "norm").as<float>());
  const double count = *run.entry->output(run.started, "count").as<float>();
  open.loss += *run.entry->output(run.started, "loss").as<float>();
  open.count += count;
  open.tokens = open.micro_batches == 0 || count == open.tokens ? count : 0;
  ++open.micro_batches;
  if (tokens_known_ > 0 && count != tokens_known_) {
    return FailedPrecondition(
        StepFailed(run.step, Cat("the model counts ", count, " tokens of a micro-batch, and counted ", tokens_known_,
                                 " of the first one; train such a model with --read-at-once")));
  }
  return OkStatus();
}

std::string Trainer::StepFailed(int64_t step, std::string_view what) const {
  return Cat("step ", step, ": ", what,
             saved_step_ >= 0 ? Cat("; the checkpoint of step ", saved_step_, " is intact") : std::string());
}

Status Trainer::CheckLoss(int64_t step, double loss) const {
  if (std::isfinite(loss)) return OkStatus();
  return absl::AbortedError(
      StepFailed(step, Cat("the loss is not finite (", loss, "), try a smaller --lr or a longer --warmup")));
}

// The step whose update gave this norm is done.
Status Trainer::Finish(double norm) {
  const OpenStep open = open_.front();
  open_.pop_front();
  const double loss = open.loss / open.count;
  RETURN_IF_ERROR(CheckLoss(open.step, loss));
  if (!std::isfinite(norm)) {
    return absl::AbortedError(StepFailed(open.step,
                                         "the gradient is not finite, try a smaller --lr or a longer --warmup; the "
                                         "weights were left as they were"));
  }
  const Clock::time_point now = Clock::now();
  const double ms = std::chrono::duration<double, std::milli>(now - std::max(open.begin, last_done_)).count();
  last_done_ = now;
  done_.step = open.step;
  const int64_t tokens = batch_ * sequence_ * options_.grad_accum;
  done_.tokens += tokens;
  done_.cursor = open.cursor;
  if (executor_->device().WorksBesideHost() && !options_.read_at_once) tokens_known_ = open.tokens;
  const double rate = static_cast<double>(tokens) / ms * 1e3;
  RETURN_IF_ERROR(metrics_->WriteTrain({.step = open.step,
                                        .loss = loss,
                                        .grad_norm = norm,
                                        .lr = open.lr,
                                        .tokens = tokens,
                                        .ms = ms,
                                        .tokens_per_s = rate}));
  progress_->Step({.step = open.step,
                   .steps = options_.steps,
                   .loss = loss,
                   .grad_norm = norm,
                   .lr = open.lr,
                   .ms = ms,
                   .tokens_per_s = rate,
                   .mfu = Mfu(rate, ms)});
  return OkStatus();
}

StatusOr<double> Trainer::Validate() {
  BoundEntry* score = executor_->entry("score");
  if (score == nullptr)
    return FailedPrecondition("the plan has no entry point score; --eval-every 0 trains without validation");
  double sum = 0;
  int64_t count = 0, batches = std::min<int64_t>(windows_->batches(), std::max<int64_t>(1, options_.eval_batches));
  for (int64_t b = 0; b < batches; ++b) {
    TensorView targets = score->input("targets");
    ASSIGN_OR_RETURN(int64_t rows, windows_->Read(b * batch_, Ids(score->input("tokens")), Ids(targets)));
    RETURN_IF_ERROR(score->Run());
    const float* losses = score->output("losses").as<float>();
    for (int64_t i = 0; i < rows * sequence_; ++i) sum += losses[i];
    count += rows * sequence_;
  }
  return sum / static_cast<double>(count);
}

Status Trainer::Sample(int64_t step) {
  if (!sampler_) return OkStatus();
  ASSIGN_OR_RETURN(std::string text, sampler_(*executor_, tokenizer_.get(), options_.sample_tokens,
                                              options_.seed + static_cast<uint64_t>(step)));
  progress_->Note(Cat("step ", step, " | sample: ", text));
  return OkStatus();
}

Status Trainer::SaveCheckpoint(bool best) {
  CheckpointContent content;
  content.step = done_.step;
  content.best = best;
  content.tensors.emplace_back(kModelFile, WeightsToWrite(*executor_));
  std::vector<TensorToWrite> optimizer;
  for (size_t i = 0; i < plan_.states.size(); ++i) {
    if (!IsOptimizerState(*plan_.states[i])) continue;
    optimizer.push_back(StateToWrite(*executor_, static_cast<int>(i)));
  }
  content.tensors.emplace_back(OptimizerFile(0), std::move(optimizer));
  int eot = tokenizer_ != nullptr && tokenizer_->eot() ? *tokenizer_->eot() : -1;
  ASSIGN_OR_RETURN(content.files, RunTokenizerFiles(options_.run));
  content.files.emplace_back("config.json", ConfigJson(plan_, eot));
  content.state = {{"step", done_.step},
                   {"tokens", done_.tokens},
                   {"windows", done_.cursor.windows},
                   {"sequence", sequence_},
                   {"order", options_.order == Order::kShuffled ? "shuffled" : "sequential"},
                   {"seed", options_.seed},
                   {"steps", options_.steps}};
  if (std::isfinite(done_.best_loss)) content.state["best_loss"] = done_.best_loss;
  RETURN_IF_ERROR(checkpoints_->Write(content).status());
  saved_step_ = done_.step;
  return OkStatus();
}

StatusOr<double> Trainer::MeasureCeiling() {
  constexpr double kSeconds = 0.4;
  const bool bf16 = plan_.precision == "bf16";
  if (!device_.SharesMemoryWithHost()) {
    ASSIGN_OR_RETURN(const Roofline roofline, device_.MeasureCeilings(plan_));
    return bf16 ? roofline.bf16_gflops : roofline.f32_gflops;
  }
  const GemmCeilingShape shape{.tokens = batch_ * sequence_,
                               .width = ConfigInt(plan_, "width", 0),
                               .layers = ConfigInt(plan_, "layers", 0),
                               .vocab = 0};
  return MeasureGemmGflops(bf16 ? DType::kBF16 : DType::kF32, shape, kSeconds);
}

std::optional<double> Trainer::Mfu(double tokens_per_s, double ms) {
  constexpr double kLongRunMs = 60e3;
  int64_t layers = ConfigInt(plan_, "layers", 0), width = ConfigInt(plan_, "width", 0);
  if (layers <= 0 || width <= 0 || ceiling_gflops_ < 0) return std::nullopt;
  if (ceiling_gflops_ == 0) {
    if (done_.step < start_step_ + 5 || static_cast<double>(options_.steps - done_.step) * ms < kLongRunMs)
      return std::nullopt;
    ceiling_gflops_ = MeasureCeiling().value_or(-1);
    if (ceiling_gflops_ <= 0) return std::nullopt;
  }
  // 6P for the products with parameters, forward and backward, and 6·L·C·T for causal attention.
  double per_token =
      6.0 * static_cast<double>(ParameterCount(plan_)) + 6.0 * static_cast<double>(layers * width * sequence_);
  double share = per_token * tokens_per_s / (ceiling_gflops_ * 1e9);
  if (share > 1) ceiling_gflops_ = -1;  // measured while something else had the machine: say nothing rather than that
  return share > 1 ? std::nullopt : std::optional<double>(share);
}

std::string Trainer::Summary() const {
  std::string shape;
  for (const char* key : {"layers", "heads", "width"}) {
    if (int64_t value = ConfigInt(plan_, key, -1); value >= 0) shape += Cat(shape.empty() ? "" : ", ", value, " ", key);
  }
  int64_t scratch = static_cast<int64_t>(executor_->scratch_bytes());
  std::string text =
      Cat(plan_.model, " · ", Grouped(ParameterCount(plan_)), " parameters", shape.empty() ? "" : Cat(" (", shape, ")"),
          " · plan ", HumanBytes(plan_.state_bytes + plan_.arena_bytes + scratch), " peak (state ",
          HumanBytes(plan_.state_bytes), ", arena ", HumanBytes(plan_.arena_bytes), ", scratch ", HumanBytes(scratch),
          ") · ", plan_.target);
  text +=
      Cat("\n", Grouped(train_shards_->tokens()), " tokens to train on",
          val_shards_ ? Cat(", ", Grouped(val_shards_->tokens()), " to validate") : std::string(), " · ",
          options_.steps, " steps of ", Grouped(batch_ * sequence_ * options_.grad_accum), " tokens (", batch_, " × ",
          sequence_, options_.grad_accum > 1 ? Cat(" × ", options_.grad_accum, " micro-batches") : std::string(), "), ",
          absl::StrFormat("%.2f", static_cast<double>(options_.steps * batch_ * options_.grad_accum * sequence_) /
                                      static_cast<double>(train_shards_->tokens())),
          " epochs");
  return text;
}

}  // namespace gptc
