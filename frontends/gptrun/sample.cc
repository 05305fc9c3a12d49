// gptrun sample: text that continues a prompt, shown as it is made.
#include "frontends/gptrun/sample.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "frontends/common/terminal.h"
#include "frontends/gptrun/compiler_process.h"
#include "frontends/gptrun/threads.h"
#include "nlohmann/json.hpp"
#include "runtime/data/tokenizer/load.h"
#include "runtime/formats/files.h"
#include "runtime/generate/generator.h"
#include "runtime/generate/prompt.h"
#include "runtime/generate/utf8_stream.h"
#include "runtime/train/run_directory.h"

namespace gptc {
namespace {

using nlohmann::json;

constexpr int64_t kMaxPromptBytes = int64_t{1} << 30;

class SampleCommand : public Subcommand {
 public:
  std::string name() const override { return "sample"; }
  std::string summary() const override { return "generate text with a run's model"; }

  void Declare(CLI::App& app) override {
    app.add_option("run", run_, "A run, or a checkpoint in one")->required();
    auto* prompt = app.add_option("--prompt", prompt_,
                                  "The text to continue; default: an end-of-text token, where the vocabulary has one")
                       ->group("Text");
    app.add_option("--prompt-file", prompt_file_, "A file with that text; - is standard input")
        ->group("Text")
        ->excludes(prompt);
    app.add_option("--max-new-tokens", options_.max_new_tokens, "How many tokens at most")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
        ->capture_default_str()
        ->group("Text");
    app.add_flag("--ignore-eot", ignore_eot_, "Go on past the end-of-text token")->group("Text");
    app.add_option("--tokenizer", tokenizer_, "Another tokenizer than the run's")->group("Text");
    app.add_option("--temperature", sampler_.temperature,
                   "Divides the logits; 0 takes the most likely token every time")
        ->capture_default_str()
        ->group("Sampling");
    app.add_option("--top-k", sampler_.top_k, "Only the k most likely tokens; 0: all")
        ->capture_default_str()
        ->group("Sampling");
    app.add_option("--top-p", sampler_.top_p,
                   "Only the most likely tokens that together reach this probability; 1: all")
        ->capture_default_str()
        ->group("Sampling");
    app.add_option("--seed", seed_, "Of the random numbers; the same seed gives the same text")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str()
        ->group("Sampling");
    DeclareThreads(app, threads_);
    app.add_flag("--json", json_, "{text, tokens, tokens_per_s} of what is new, once it is all made");
    app.footer("Example:\n  gptrun sample run/ --prompt 'ROMEO:' --max-new-tokens 200 --temperature 0.8 --top-k 200");
  }

  Status Run() override {
    sampler_.seed = static_cast<uint64_t>(seed_);
    RETURN_IF_ERROR(CheckSampler(sampler_));
    ApplyThreads(threads_);
    if (!prompt_file_.empty()) {
      ASSIGN_OR_RETURN(prompt_, ReadFileToString(prompt_file_ == "-" ? "/dev/stdin" : prompt_file_, kMaxPromptBytes));
    }
    RETURN_IF_ERROR(EnsurePlan(run_));
    ASSIGN_OR_RETURN(OpenRun run, OpenRunDirectory(run_, {kPrefillEntry, kDecodeEntry}));
    if (!tokenizer_.empty()) {
      ASSIGN_OR_RETURN(run.tokenizer, LoadTokenizer(tokenizer_));
    }
    if (run.tokenizer == nullptr) return NotFound("the run '", run_, "' has no tokenizer; name one with --tokenizer");
    const Tokenizer& tokenizer = *run.tokenizer;
    ASSIGN_OR_RETURN(Generator generator, Generator::Create(*run.executor));
    ASSIGN_OR_RETURN(const Prompt prompt, MakePrompt(tokenizer, prompt_));
    if (!prompt.remark.empty()) Log(prompt.remark);
    const auto tokens = static_cast<int64_t>(prompt.tokens.size());
    if (tokens > generator.context())
      Log(Cat("the prompt has ", tokens, " tokens; the model sees the last ", generator.context()));
    if (!ignore_eot_ && tokenizer.eot()) options_.eot = *tokenizer.eot();
    return Show(generator, tokenizer, prompt.tokens);
  }

 private:
  Status Show(Generator& generator, const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
    Utf8Stream stream;
    std::string text;
    Status written = json_ ? OkStatus() : Print(prompt_);
    auto show = [&](std::string piece) {
      text += piece;
      if (!json_ && written.ok()) written = Print(piece);
      return written.ok();
    };
    Sampler sampler(sampler_);
    const auto begin = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(const std::vector<int32_t> made,
                     Generate(generator, sampler, prompt, options_,
                              [&](int32_t token) { return show(stream.Push(tokenizer.TokenBytes(token))); }));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    show(stream.Finish());
    const double rate = seconds > 0 ? static_cast<double>(made.size()) / seconds : 0;
    if (json_) return WriteOutput("-", json({{"text", text}, {"tokens", made}, {"tokens_per_s", rate}}).dump() + "\n");
    if (written.ok()) written = Print("\n");
    LogVerbose(Cat(made.size(), " tokens, ", rate, " tok/s, the prompt's ", prompt.size(), " included in the time"));
    return written;
  }

  // At once, on a terminal and in a pipe alike.
  static Status Print(std::string_view text) {
    return WriteAll(STDOUT_FILENO, text.data(), text.size(), "standard output");
  }

  std::string run_, prompt_, prompt_file_, tokenizer_;
  GenerateOptions options_;
  SamplerOptions sampler_;
  int64_t seed_ = static_cast<int64_t>(SamplerOptions().seed), threads_ = 0;
  bool ignore_eot_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeSampleCommand() { return std::make_unique<SampleCommand>(); }

}  // namespace gptc
