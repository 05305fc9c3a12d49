// gptc compile, gptc opt, gptc passes: what runs passes.
#include "frontends/gptc/compile.h"

#include <charconv>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "frontends/common/byte_size.h"
#include "frontends/common/terminal.h"
#include "frontends/gptc/batch_size.h"
#include "frontends/gptc/input.h"
#include "frontends/gptc/pipeline.h"
#include "ir/base/target.h"
#include "ir/printer.h"
#include "ir/verifier.h"
#include "nlohmann/json.hpp"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using Json = nlohmann::ordered_json;

// The flags that bind dimensions.
struct DimensionFlags {
  static constexpr int64_t kMostBatch = int64_t{1} << 20;
  std::string batch = "1";  // or "auto"
  int64_t seq = 0, decode_batch = 1, prefill = 0;

  bool AutoBatch() const { return batch == "auto"; }

  void Declare(CLI::App& app) {
    app.add_option("--batch", batch, "Sequences in a micro-batch (B); auto: the most that fit --memory-budget")
        ->check([](const std::string& text) { return CheckBatch(text); })
        ->capture_default_str()
        ->group("Shapes");
    app.add_option("--seq", seq, "Tokens in a sequence (T); default: the model's context")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
        ->group("Shapes");
    app.add_option("--decode-batch", decode_batch, "Streams generated at once")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
        ->capture_default_str()
        ->group("Shapes");
    app.add_option("--prefill", prefill, "Prompt tokens in a chunk; default: the model's")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
        ->group("Shapes");
  }

  static std::string CheckBatch(const std::string& text) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool good = error == std::errc() && end == text.data() + text.size() && number >= 1 && number <= kMostBatch;
    return good || text == "auto" ? "" : Cat(text, " is neither a number from 1 to ", kMostBatch, " nor auto");
  }

  // Sizes for those dimensions that the module has; B is 1 where it is to be found.
  StatusOr<std::vector<std::pair<std::string, int64_t>>> Sizes(const Module& module) const {
    int context_at = module.FindDimension("context");
    int64_t context = context_at >= 0 ? module.dimensions[context_at].value : -1;
    int64_t t = seq;
    if (t == 0) t = context;
    if (t <= 0) return UsageError("--seq is needed: the model names no context");
    if (context > 0 && t > context)
      return InvalidArgument("--seq ", t, ": the model's context is ", context, " tokens; give --seq ", context,
                             " or less");
    if (context > 0 && prefill > context)
      return InvalidArgument("--prefill ", prefill, ": the model's context is ", context, " tokens");
    std::vector<std::pair<std::string, int64_t>> sizes;
    const int64_t b = AutoBatch() ? 1 : std::stoll(batch);
    for (const auto& [name, size] : {std::pair{"B", b}, {"T", t}, {"decode_B", decode_batch}, {"prefill_T", prefill}}) {
      if (size > 0 && module.FindDimension(name) >= 0) sizes.emplace_back(name, size);
    }
    return sizes;
  }
};

class CompileCommand : public Subcommand {
 public:
  std::string name() const override { return "compile"; }
  std::string summary() const override { return "compile a model to a plan"; }

  void Declare(CLI::App& app) override {
    app.add_option("graph", graph_, "The model, in text form")->required();
    app.add_option("-o,--output", output_, "The plan to write")->required();
    dimensions_.Declare(app);
    app.add_option("--target", options_.target,
                   "native, cpu:x86_64, cpu:avx2, cpu:avx512, cpu:avx512_bf16; cuda:sm_80, sm_86, sm_89, sm_90")
        ->capture_default_str()
        ->group("Code");
    app.add_option("--precision", options_.precision, "What matrix products compute in")
        ->check(CLI::IsMember({"f32", "bf16", "f16"}))
        ->capture_default_str()
        ->group("Code");
    app.add_option("--residual", residual_,
                   "Type of the residual stream; auto: bf16 beside bf16 products on a GPU, else f32")
        ->check(CLI::IsMember({"auto", "f32", "bf16"}))
        ->capture_default_str()
        ->group("Code");
    app.add_option("--loss-chunk", options_.loss_chunk,
                   "Rows of logits that exist at a time: less memory for a large vocabulary; 0: all")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
        ->capture_default_str()
        ->group("Memory");
    budget_option_ = app.add_option("--memory-budget", budget_,
                                    "What the plan may take in all: 6GiB, 1500MB, bytes, or auto for what is free")
                         ->group("Memory");
    app.add_option("--disable", options_.disabled, "Leave this pass out; may be repeated")->group("Passes");
    app.add_option("--print-after", print_after_, "Print the text form after this pass, or after 'all'")
        ->group("Passes");
    app.add_option("--dump-dir", dump_dir_, "Write those texts here, a file each, instead of to standard error")
        ->group("Passes");
    app.add_flag("--remarks", remarks_, "Say what each pass did, and did not do, and why")->group("Passes");
    app.footer("Example:\n  gptc compile gpt2.graph -o plan.fb --batch 4 --seq 256");
  }

  Status Run() override {
    const bool narrow = residual_ == "auto" && IsCuda(options_.target) && options_.precision != "f32";
    options_.residual = residual_ != "auto" ? *DTypeNamed(residual_) : narrow ? DType::kBF16 : DType::kF32;
    if (!print_after_.empty() && print_after_ != "all")
      RETURN_IF_ERROR(CheckPassNames(std::span(&print_after_, 1), false));
    if (!dump_dir_.empty()) RETURN_IF_ERROR(MakeDirectories(dump_dir_));
    ASSIGN_OR_RETURN(Module module, ReadModule(graph_));
    ASSIGN_OR_RETURN(options_.dimensions, dimensions_.Sizes(module));
    if (budget_option_->count() > 0 || dimensions_.AutoBatch()) {
      if (budget_ == "auto" && IsCuda(options_.target)) {
        return UsageError(dimensions_.AutoBatch() ? "--batch auto" : "--memory-budget auto",
                          ": the memory of the GPU that will run a plan for ", options_.target,
                          " is not known here; give --memory-budget 70GiB, or what it has");
      }
      ASSIGN_OR_RETURN(options_.memory_budget, ParseMemoryBudget(budget_));
    }
    if (dimensions_.AutoBatch()) RETURN_IF_ERROR(FindBatch(module));
    const Module source = options_.memory_budget > 0 ? module : Module();
    options_.instrument.fingerprint = Verbosity() > 0;
    options_.instrument.after = [this](int index, const Pass& pass, const Module& m) {
      return Show(index + 1, pass.name, m);
    };
    ASSIGN_OR_RETURN(Compilation result,
                     Compile(std::move(module), options_, [this](const Module& m) { return Show(0, "input", m); }));
    for (const PassRecord& record : result.passes) {
      LogVerbose(
          absl::StrFormat("%-24s %8.2f ms%s", record.name, record.milliseconds, record.changed ? "" : "  unchanged"));
    }
    for (const std::string& note : result.notes) Log(Cat("note: ", note));
    if (result.plan.precision == "bf16" && !HasBf16Products(result.plan.target)) {
      Log(Cat("note: ", result.plan.target, " has no products of bf16: they are computed in f32"));
    }
    if (remarks_) {
      for (const auto& remark : result.plan.remarks) {
        Log(Cat(remark->location.empty() ? "" : Cat(remark->location, ": "), remark->pass,
                remark->done ? ": " : ": not done: ", remark->text));
      }
    }
    if (options_.memory_budget > 0 && result.peak_bytes > options_.memory_budget)
      return OverBudget(source, result.peak_bytes);
    return WriteOutput(output_, SerializePlan(result.plan));
  }

 private:
  // --batch auto.
  Status FindBatch(const Module& module) {
    if (module.FindDimension("B") < 0) return UsageError("--batch auto: the model has no dimension B");
    ASSIGN_OR_RETURN(const BatchAdvice advice, LargestBatch(module, options_, DimensionFlags::kMostBatch));
    if (advice.batch == 0) {
      return InvalidArgument("--batch auto: a batch of 1 takes ", HumanBytes(advice.bytes), " (", Grouped(advice.bytes),
                             " bytes) at least, more than the budget of ", HumanBytes(options_.memory_budget),
                             "; give a larger --memory-budget or a smaller --seq");
    }
    for (auto& [name, size] : options_.dimensions) {
      if (name == "B") size = advice.batch;
    }
    Log(Cat("batch ", advice.batch, ": the largest that fits ", HumanBytes(options_.memory_budget),
            advice.next > 0 ? Cat("; ", advice.batch + 1, " would take ", HumanBytes(advice.next)) : ""));
    return OkStatus();
  }

  // The budget is not met: what would meet it.
  Status OverBudget(const Module& module, int64_t bytes) const {
    std::string advice = "; give that as --memory-budget";
    if (module.FindDimension("B") >= 0) {
      ASSIGN_OR_RETURN(const BatchAdvice found, LargestBatch(module, options_, DimensionFlags::kMostBatch));
      advice += found.batch > 0 ? Cat(", or --batch ", found.batch, ", the largest that fits")
                                : Cat("; --batch 1 takes ", HumanBytes(found.bytes), ", so try a smaller --seq");
    }
    return InvalidArgument("--memory-budget ", budget_, ": the plan takes ", HumanBytes(bytes), " (", Grouped(bytes),
                           " bytes) at least", advice);
  }

  Status Show(int index, std::string_view stage, const Module& module) {
    if (print_after_ != "all" && print_after_ != stage) return OkStatus();
    std::string text = PrintModule(module);
    if (dump_dir_.empty()) {
      Log(Cat("// after ", stage, "\n", text));
      return OkStatus();
    }
    return WriteOutput(absl::StrFormat("%s/%02d_%s.graph", dump_dir_, index, std::string(stage)), text);
  }

  std::string graph_, output_, budget_ = "auto", print_after_, dump_dir_, residual_ = "auto";
  CLI::Option* budget_option_ = nullptr;
  bool remarks_ = false;
  DimensionFlags dimensions_;
  CompileOptions options_;
};

class OptCommand : public Subcommand {
 public:
  std::string name() const override { return "opt"; }
  std::string summary() const override { return "run passes on a text: text in, text out"; }

  void Declare(CLI::App& app) override {
    app.add_option("graph", graph_, "The module, in text form")->required();
    app.add_option("--passes", passes_, "Comma-separated names, in the order to run; empty: none, print it back")
        ->required();
    app.add_option("--option", options_, "Tell the passes: compute=bf16, memory_budget=BYTES, ...; may be repeated");
    app.add_option("-o,--output", output_, "Where to write the text")->capture_default_str();
    app.footer("Example:\n  gptc opt gpt2.graph --passes canonicalize,cse -o -");
  }

  Status Run() override {
    std::vector<std::string> names;
    for (size_t at = 0; at < passes_.size();) {
      size_t end = std::min(passes_.find(',', at), passes_.size());
      if (end > at) names.push_back(passes_.substr(at, end - at));
      at = end + 1;
    }
    RETURN_IF_ERROR(CheckPassNames(names, false));
    ASSIGN_OR_RETURN(Module module, ReadModule(graph_));
    std::vector<Pass> passes;
    for (const std::string& each : names) {
      for (const Pass& pass : Pipeline()) {
        if (pass.name == each) passes.push_back(pass);
      }
    }
    if (!passes.empty()) {
      for (const Dimension& dimension : module.dimensions) {
        if (dimension.value < 0) {
          return InvalidArgument(graph_, ": passes need sizes: dimension ", dimension.name, " has none; write `dim ",
                                 dimension.name, " = 4` in the text");
        }
      }
      RETURN_IF_ERROR(BindDimensions(module, {}));
    }
    PassOptions options;
    for (const std::string& option : options_) {
      const size_t equals = option.find('=');
      if (equals == std::string::npos) return UsageError("--option ", option, ": write NAME=VALUE");
      RETURN_IF_ERROR(options.Set(option.substr(0, equals), option.substr(equals + 1)));
    }
    PassContext context(options);
    RETURN_IF_ERROR(RunPasses(module, passes, {}, context).status());
    return WriteOutput(output_, PrintModule(module));
  }

 private:
  std::string graph_, passes_, output_ = "-";
  std::vector<std::string> options_;
};

class PassesCommand : public Subcommand {
 public:
  std::string name() const override { return "passes"; }
  std::string summary() const override { return "list the passes in pipeline order"; }
  void Declare(CLI::App& app) override {
    app.add_flag("--json", json_, "As JSON");
    app.footer("Example:\n  gptc passes --json");
  }
  Status Run() override {
    Json list = Json::array();
    std::string text;
    for (const Pass& pass : Pipeline()) {
      list.push_back({{"name", pass.name}, {"optional", pass.optional}, {"summary", pass.summary}});
      text += absl::StrFormat("%-24s %s%s\n", pass.name, pass.summary, pass.optional ? "" : " (always)");
    }
    return WriteOutput("-", json_ ? list.dump(2) + "\n" : text);
  }

 private:
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeCompileCommand() { return std::make_unique<CompileCommand>(); }
std::unique_ptr<Subcommand> MakeOptCommand() { return std::make_unique<OptCommand>(); }
std::unique_ptr<Subcommand> MakePassesCommand() { return std::make_unique<PassesCommand>(); }

}  // namespace gptc
