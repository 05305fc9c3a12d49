// gptc model: a model by name, with its settings, as a text that people can edit and gptc compiles.
#include "frontends/gptc/model.h"

#include <sys/stat.h>

#include "frontends/common/terminal.h"
#include "ir/printer.h"
#include "models/model.h"
#include "runtime/data/tokenizer/load.h"
#include "runtime/data/tokenizer/tokenizer.h"
#include "runtime/formats/files.h"
#include "runtime/formats/hf_config.h"

namespace gptc {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

// What a Hugging Face config.json says, as settings of gpt2.
Settings SettingsFrom(const HfConfig& config) {
  double dropout = config.residual_dropout;
  if (dropout != config.embedding_dropout || dropout != config.attention_dropout) {
    Log(Cat("config.json has three dropout rates; using resid_pdrop = ", dropout,
            " for all (--set dropout=R chooses another)"));
  }
  Settings settings = {{"layers", Cat(config.layers)},
                       {"heads", Cat(config.heads)},
                       {"width", Cat(config.width)},
                       {"context", Cat(config.context)},
                       {"vocab", Cat(config.vocab)},
                       {"activation", config.activation},
                       {"epsilon", ShortestDouble(config.epsilon)},
                       {"dropout", ShortestDouble(dropout)},
                       {"tied", config.tied ? "true" : "false"}};
  if (config.inner != 4 * config.width) settings.emplace_back("inner", Cat(config.inner));
  return settings;
}

class ModelCommand : public Subcommand {
 public:
  std::string name() const override { return "model"; }
  std::string summary() const override { return "write a model as text"; }

  void Declare(CLI::App& app) override {
    app.add_option("name", model_, Cat("One of: ", Join(Models(), ", ", [](const Model& m) { return m.name; })))
        ->required();
    app.add_option("-o,--output", output_, "The text to write")->required();
    app.add_option("--preset", preset_, "A size by name (124M, 350M, 774M, 1558M, baby)")->group("Size");
    app.add_option("--set", set_, "key=value; may be repeated (an unknown key lists them all)")->group("Size");
    app.add_option("--vocab", vocab_, "Vocabulary size")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
        ->group("Size");
    app.add_option("--tokenizer", tokenizer_, "Take the vocabulary size from this tokenizer or shards folder")
        ->group("Size");
    app.add_option("--from", from_, "Take the shape from a Hugging Face folder's config.json")->group("Size");
    std::string settings;
    for (const Model& model : Models()) {
      settings += Cat("\nSettings of ", model.name, ":\n");
      for (const Setting& setting : model.settings)
        settings += Cat("  ", setting.name, std::string(12 - std::min<size_t>(11, setting.name.size()), ' '),
                        setting.summary, "\n");
    }
    app.footer(settings + "\nExample:\n  gptc model gpt2 --preset 124M --set dropout=0.1 -o gpt2.graph");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(const Model* model, ModelNamed(model_));
    Settings settings;
    if (!from_.empty()) {
      if (model_ != "gpt2") return UsageError("--from reads a GPT-2, not a ", model_);
      ASSIGN_OR_RETURN(HfConfig config, ReadHfConfig(IsDirectory(from_) ? JoinPath(from_, "config.json") : from_));
      settings = SettingsFrom(config);
    }
    if (!tokenizer_.empty()) {
      std::string inside = JoinPath(tokenizer_, "tokenizer");  // a folder of shards keeps its tokenizer beside them
      ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(IsDirectory(inside) ? inside : tokenizer_));
      settings.emplace_back("vocab", Cat(tokenizer->vocab_size()));
    }
    if (vocab_ > 0) settings.emplace_back("vocab", Cat(vocab_));
    for (const std::string& item : set_) {
      size_t equals = item.find('=');
      if (equals == std::string::npos) return UsageError("--set ", item, ": write key=value");
      settings.emplace_back(item.substr(0, equals), item.substr(equals + 1));
    }
    ASSIGN_OR_RETURN(Config config, MakeConfig(*model, preset_, settings));
    ASSIGN_OR_RETURN(Module module, model->build(config));
    return WriteOutput(output_, PrintModule(module));
  }

 private:
  std::string model_, output_, preset_, tokenizer_, from_;
  std::vector<std::string> set_;
  int64_t vocab_ = 0;
};

}  // namespace

std::unique_ptr<Subcommand> MakeModelCommand() { return std::make_unique<ModelCommand>(); }

}  // namespace gptc
