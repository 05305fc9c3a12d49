#include "frontends/gptrun/detokenize.h"

#include "frontends/common/terminal.h"
#include "nlohmann/json.hpp"
#include "runtime/data/tokenizer/load.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using nlohmann::json;

StatusOr<std::vector<int32_t>> ReadIds(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path == "-" ? "/dev/stdin" : path));
  const json list = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return InvalidArgument("'", path, "' is no JSON array of token ids such as [15496, 995]");
  std::vector<int32_t> ids;
  for (const json& id : list) {
    // Ids above 2^31 - 1 are in no vocabulary, nor are negative ones: Decode refuses -1 by its place.
    if (!id.is_number_integer()) {
      return InvalidArgument("'", path, "': element ", ids.size(), " of the array is no whole number");
    }
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
    ids.push_back(fits ? id.get<int32_t>() : -1);
  }
  return ids;
}

class DetokenizeCommand : public Subcommand {
 public:
  std::string name() const override { return "detokenize"; }
  std::string summary() const override { return "turn token ids back into the bytes of the text"; }

  void Declare(CLI::App& app) override {
    app.add_option("ids", ids_, "a file with one JSON array of token ids; - is standard input")->required();
    app.add_option("--tokenizer", tokenizer_,
                   "bytes, a folder (tokenizer/, shards or a run) or a file: tokenizer.json, vocab.json, encoder.json, "
                   "llm.c's .bin")
        ->required();
    app.add_option("-o,--output", output_, "where the bytes go; - is standard output")->capture_default_str();
    app.footer("Example:\n  gptrun tokenize t.txt --tokenizer gpt2/ --ids | gptrun detokenize - --tokenizer gpt2/");
  }

  Status Run() override {
    ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(tokenizer_));
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadIds(ids_));
    const StatusOr<std::string> text = tokenizer->Decode(ids);
    if (!text.ok()) return Annotate(text.status(), Cat("'", ids_, "'"));
    return WriteOutput(output_, *text);
  }

 private:
  std::string ids_, tokenizer_, output_ = "-";
};

}  // namespace

std::unique_ptr<Subcommand> MakeDetokenizeCommand() { return std::make_unique<DetokenizeCommand>(); }

}  // namespace gptc
