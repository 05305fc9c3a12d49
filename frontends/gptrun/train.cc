#include "frontends/gptrun/train.h"

#include "frontends/common/terminal.h"
#include "frontends/gptrun/threads.h"
#include "runtime/devices/device_for.h"
#include "runtime/formats/files.h"
#include "runtime/generate/generator.h"
#include "runtime/generate/prompt.h"
#include "runtime/generate/utf8_stream.h"
#include "runtime/plan/plan.h"
#include "runtime/train/trainer.h"

namespace gptc {
namespace {

// What the model makes of an end-of-text token or, without one, of a line's end.
StatusOr<std::string> SampleText(Executor& executor, const Tokenizer* tokenizer, int64_t tokens, uint64_t seed) {
  if (tokenizer == nullptr) return std::string("(the shards come without a tokenizer)");
  ASSIGN_OR_RETURN(Prompt prompt, MakePrompt(*tokenizer, ""));
  ASSIGN_OR_RETURN(Generator generator, Generator::Create(executor));
  Sampler sampler(SamplerOptions{.seed = seed});
  ASSIGN_OR_RETURN(std::vector<int32_t> made,
                   Generate(generator, sampler, prompt.tokens, {.max_new_tokens = tokens, .eot = tokenizer->eot()}));
  ASSIGN_OR_RETURN(std::string bytes, tokenizer->Decode(made));
  Utf8Stream stream;
  std::string text = stream.Push(bytes);
  return text + stream.Finish();
}

class TrainCommand : public Subcommand {
 public:
  std::string name() const override { return "train"; }
  std::string summary() const override { return "train the model of a plan"; }

  void Declare(CLI::App& app) override {
    app_ = &app;
    const CLI::Range at_least_0(int64_t{0}, int64_t{1} << 50);
    const CLI::Range at_least_1(int64_t{1}, int64_t{1} << 50);
    TrainOptions& o = options_;
    app.add_option("plan", plan_path_, "The plan, from gptc compile")->required();
    app.add_option("--data", o.data, "Folder of token shards, from gptrun tokenize")->required();
    app.add_option("-o,--output", o.run, "Directory of the run")->capture_default_str();
    app.add_option("--steps", o.steps, "Optimizer steps in all")
        ->check(at_least_1)
        ->capture_default_str()
        ->group("Length and batch");
    app.add_option("--epochs", o.epochs, "Passes over the data; sets --steps")
        ->check(CLI::PositiveNumber)
        ->group("Length and batch");
    app.add_option("--grad-accum", o.grad_accum, "Micro-batches an optimizer step")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
        ->capture_default_str()
        ->group("Length and batch");
    app.add_option("--batch-tokens", o.batch_tokens, "Tokens an optimizer step; sets --grad-accum")
        ->check(at_least_1)
        ->group("Length and batch");
    app.add_option("--order", order_, "sequential or shuffled windows")
        ->check(CLI::IsMember({"sequential", "shuffled"}))
        ->capture_default_str()
        ->group("Length and batch");
    app.add_option("--lr", o.schedule.lr, "Peak learning rate")->capture_default_str()->group("Schedule");
    app.add_option("--min-lr", o.schedule.floor, "Learning rate at the end")->capture_default_str()->group("Schedule");
    app.add_option("--warmup", o.schedule.warmup, "Steps of linear warmup")
        ->check(at_least_0)
        ->capture_default_str()
        ->group("Schedule");
    app.add_option("--schedule", schedule_, "cosine, linear, constant or wsd")
        ->capture_default_str()
        ->group("Schedule");
    o.schedule.decay_steps = 0;
    app.add_option("--decay-steps", o.schedule.decay_steps, "Step at which the schedule ends; default: --steps")
        ->check(at_least_1)
        ->group("Schedule");
    app.add_option("--weight-decay", o.weight_decay, "AdamW's decay, on matrices alone")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str()
        ->group("Optimizer");
    app.add_option("--beta1", o.beta1, "AdamW's decay of the first moment")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str()
        ->group("Optimizer");
    app.add_option("--beta2", o.beta2, "AdamW's decay of the second moment")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str()
        ->group("Optimizer");
    app.add_option("--eps", o.epsilon, "AdamW's epsilon")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str()
        ->group("Optimizer");
    app.add_option("--clip", o.clip, "Largest global norm of the gradient; 0: no clipping")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str()
        ->group("Optimizer");
    app.add_option("--seed", o.seed, "Of initial weights, order and dropout")
        ->capture_default_str()
        ->group("Optimizer");
    app.add_option("--eval-every", o.eval_every, "Steps between validations; 0: never")
        ->check(at_least_0)
        ->capture_default_str()
        ->group("Along the way");
    app.add_option("--eval-batches", o.eval_batches, "Batches of a validation")
        ->check(at_least_1)
        ->capture_default_str()
        ->group("Along the way");
    app.add_option("--sample-every", o.sample_every, "Steps between samples; 0: never")
        ->check(at_least_0)
        ->capture_default_str()
        ->group("Along the way");
    app.add_option("--checkpoint-every", o.checkpoint_every, "Steps between checkpoints; 0: only at the end")
        ->check(at_least_0)
        ->capture_default_str()
        ->group("Along the way");
    app.add_option("--keep", o.keep, "Checkpoints to keep besides the best; 0: all")
        ->check(at_least_0)
        ->capture_default_str()
        ->group("Along the way");
    app.add_option("--init-from", o.init_from, "Start from these weights: a Hugging Face folder, a run or a checkpoint")
        ->group("Start");
    resume_option_ =
        app.add_option(
               "--resume", resume_,
               "Go on from the run's newest checkpoint; =auto: or start anew; =PATH: from that run or checkpoint")
            ->expected(0, 1)
            ->group("Start");
    app.add_flag("--dry-run", o.dry_run, "Check plan, data and memory, then stop")->group("Start");
    app.add_flag("--read-at-once", o.read_at_once,
                 "Wait for a step's loss and norm before the next is started; a GPU idles meanwhile")
        ->group("Machine");
    app.add_flag("--debug-memory", o.isolate,
                 "Give every value poisoned memory of its own: slow, must not change a bit")
        ->group("Machine");
    DeclareThreads(app, threads_);
    app.footer("Example:\n  gptrun train plan.fb --data shards/ -o run/ --steps 2000 --lr 1e-3 --warmup 100");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(options_.schedule.kind, ScheduleNamed(schedule_));
    options_.order = *OrderNamed(order_);
    if (options_.keep == 0) options_.keep = -1;
    if (resume_option_->count() > 0) options_.resume = resume_;
    options_.quiet = Verbosity() < 0;
    ASSIGN_OR_RETURN(std::string bytes, ReadFileToString(plan_path_));
    ASSIGN_OR_RETURN(std::unique_ptr<plan::PlanT> plan, ParsePlan(bytes, plan_path_));
    ApplyThreads(threads_);
    StatusOr<std::unique_ptr<Device>> device = DeviceFor(plan->target);
    if (!device.ok()) return Annotate(device.status(), plan_path_);
    Trainer trainer(*plan, **device, std::move(bytes), options_);
    trainer.set_resolved_config(ResolvedToml(*app_));
    trainer.set_sampler(&SampleText);
    return trainer.Run();
  }

 private:
  CLI::App* app_ = nullptr;
  CLI::Option* resume_option_ = nullptr;
  std::string plan_path_, order_ = "shuffled", schedule_ = "cosine", resume_;
  int64_t threads_ = 0;
  TrainOptions options_ = [] {
    TrainOptions options;
    options.run = "run";
    return options;
  }();
};

}  // namespace

std::unique_ptr<Subcommand> MakeTrainCommand() { return std::make_unique<TrainCommand>(); }

}  // namespace gptc
