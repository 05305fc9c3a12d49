#include "frontends/gptrun/tokenize.h"

#include <chrono>
#include <filesystem>
#include <limits>

#include "frontends/common/terminal.h"
#include "nlohmann/json.hpp"
#include "runtime/data/shards.h"
#include "runtime/data/tokenizer/load.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

// One input: mapped where it is a regular file, so that a text larger than the memory can be tokenized.
struct Document {
  MappedFile file;
  std::string memory;
  std::string_view text() const {
    if (!memory.empty()) return memory;
    return {reinterpret_cast<const char*>(file.data()), file.size()};
  }
};

StatusOr<Document> OpenDocument(const std::string& path) {
  Document document;
  if (path != "-" && IsRegularFile(path)) {
    ASSIGN_OR_RETURN(document.file, MappedFile::Open(path));
  } else {
    ASSIGN_OR_RETURN(document.memory,
                     ReadFileToString(path == "-" ? "/dev/stdin" : path, std::numeric_limits<int64_t>::max()));
  }
  return document;
}

// The texts cut in two at a character: the last `fraction` of all characters, the documents taken as one row, is `val`.
// As nanoGPT cuts: train is the first int(n * (1 - fraction)) characters.
struct Splits {
  std::vector<std::string_view> train, val;
};
Splits CutTexts(const std::vector<Document>& documents, double fraction) {
  Splits splits;
  std::vector<int64_t> characters;
  int64_t total = 0;
  for (const Document& document : documents) {
    characters.push_back(fraction > 0 ? CountCharacters(document.text()) : 0);
    total += characters.back();
  }
  int64_t left = static_cast<int64_t>(static_cast<double>(total) * (1.0 - fraction));
  for (size_t i = 0; i < documents.size(); ++i) {
    const std::string_view text = documents[i].text();
    const size_t cut = fraction > 0 ? OffsetOfCharacter(text, left) : text.size();
    left -= std::min(left, characters[i]);
    if (cut > 0) splits.train.push_back(text.substr(0, cut));
    if (cut < text.size()) splits.val.push_back(text.substr(cut));
  }
  return splits;
}

class TokenizeCommand : public Subcommand {
 public:
  std::string name() const override { return "tokenize"; }
  std::string summary() const override {
    return "turn text into token shards, training a tokenizer where none is given";
  }

  void Declare(CLI::App& app) override {
    app.add_option("input", inputs_, "text files; - is standard input")->required();
    app.add_option("-o,--output", output_, "folder for the shards, shards.json and tokenizer/")->group("Output");
    app.add_option("--name", name_, "start of the shards' names (default: the first input's name)")->group("Output");
    app.add_flag("--ids", ids_, "print the token ids as one JSON array instead")->group("Output");
    app.add_flag("--json", json_, "print the summary as JSON")->group("Output");
    app.add_option(
           "--tokenizer", choice_.spec,
           "bytes, chars, bpe (trained on the text), or a folder or file with a tokenizer (default: bytes below 256 "
           "KiB of text, else bpe)")
        ->group("Tokenizer");
    app.add_option("--vocab-size", choice_.vocab_size,
                   "tokens of a bpe that is trained (default: by the size of the text)")
        ->group("Tokenizer");
    app.add_option("--val-fraction", val_fraction_, "share of the text, at its end, that is kept for validation")
        ->capture_default_str()
        ->group("Tokenizer");
    app.footer("Example:\n  gptrun tokenize tinyshakespeare.txt --tokenizer chars -o shards/");
  }

  Status Run() override {
    if (output_.empty() && !ids_) return UsageError("give -o FOLDER for shards, or --ids to print the token ids");
    if (!output_.empty() && ids_) return UsageError("--ids prints and writes no shards: leave out -o or --ids");
    if (!(val_fraction_ >= 0 && val_fraction_ < 1)) {
      return UsageError("--val-fraction ", val_fraction_, " is out of range: it must be at least 0 and below 1");
    }
    std::vector<Document> documents;
    for (const std::string& input : inputs_) {
      ASSIGN_OR_RETURN(Document document, OpenDocument(input));
      documents.push_back(std::move(document));
    }
    const Splits splits = CutTexts(documents, ids_ ? 0 : val_fraction_);
    if (!ids_ && splits.train.empty()) {
      return InvalidArgument(
          "'", inputs_[0], "' holds no text to train on: it is empty or too short for --val-fraction ", val_fraction_);
    }
    ASSIGN_OR_RETURN(const MadeTokenizer made, MakeTokenizer(choice_, splits.train, splits.val));
    if (!made.remark.empty()) Log(made.remark);
    return ids_ ? PrintIds(*made.tokenizer, splits.train) : WriteShards(*made.tokenizer, splits);
  }

 private:
  // The texts with end-of-text between them, where the tokenizer has one.
  static Status EncodeAll(const Tokenizer& tokenizer, const std::vector<std::string_view>& texts,
                          const TokenSink& sink) {
    for (size_t i = 0; i < texts.size(); ++i) {
      if (i > 0 && tokenizer.eot()) {
        const int32_t eot[] = {*tokenizer.eot()};
        RETURN_IF_ERROR(sink(eot));
      }
      RETURN_IF_ERROR(tokenizer.EncodeTo(texts[i], sink));
    }
    return OkStatus();
  }

  static Status PrintIds(const Tokenizer& tokenizer, const std::vector<std::string_view>& texts) {
    std::string out = "[";
    RETURN_IF_ERROR(EncodeAll(tokenizer, texts, [&](std::span<const int32_t> ids) {
      for (const int32_t id : ids) {
        if (out.size() > 1) out.append(", ");
        out.append(std::to_string(id));
      }
      return OkStatus();
    }));
    return WriteOutput("-", out + "]\n");
  }

  Status WriteShards(const Tokenizer& tokenizer, const Splits& splits) {
    ShardsInfo info;
    info.tokenizer_kind = tokenizer.kind();
    info.tokenizer_hash = tokenizer.hash_text();
    info.vocab_size = tokenizer.vocab_size();
    if (tokenizer.eot()) info.eot = *tokenizer.eot();
    ASSIGN_OR_RETURN(const std::unique_ptr<ShardWriter> writer,
                     ShardWriter::Create(output_, name_.empty() ? DefaultName() : name_, std::move(info)));
    RETURN_IF_ERROR(tokenizer.Save(JoinPath(output_, "tokenizer")));
    using Clock = std::chrono::steady_clock;
    Clock::time_point said = Clock::now();
    int64_t tokens = 0;
    for (const auto& [split, texts] : {std::pair("train", &splits.train), std::pair("val", &splits.val)}) {
      if (texts->empty()) continue;
      for (const std::string_view text : *texts) writer->AddTextBytes(split, static_cast<int64_t>(text.size()));
      RETURN_IF_ERROR(EncodeAll(tokenizer, *texts, [&, split = split](std::span<const int32_t> ids) {
        tokens += static_cast<int64_t>(ids.size());
        if (Clock::now() - said > std::chrono::seconds(5)) {
          said = Clock::now();
          Log(Cat(Grouped(tokens), " tokens, in ", split));
        }
        return writer->Add(split, ids);
      }));
    }
    RETURN_IF_ERROR(writer->Finish());
    return WriteOutput("-", json_ ? SummaryJson(writer->info()) : Summary(writer->info()));
  }

  std::string DefaultName() const {
    const std::string stem = inputs_[0] == "-" ? "" : std::filesystem::path(inputs_[0]).stem().string();
    return stem.empty() ? "text" : stem;
  }

  std::string SummaryJson(const ShardsInfo& info) const {
    nlohmann::json splits = nlohmann::json::object();
    for (const auto& [name, split] : info.splits) {
      splits[name] = {{"tokens", split.tokens}, {"text_bytes", split.text_bytes}, {"shards", split.files.size()}};
    }
    const nlohmann::json root = {{"output", output_},
                                 {"tokenizer", info.tokenizer_kind},
                                 {"tokenizer_hash", info.tokenizer_hash},
                                 {"vocab_size", info.vocab_size},
                                 {"eot", info.eot ? nlohmann::json(*info.eot) : nlohmann::json(nullptr)},
                                 {"splits", splits}};
    return root.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  std::string Summary(const ShardsInfo& info) const {
    std::string out;
    for (const auto& [name, split] : info.splits) {
      out.append(Cat(name, ": ", Grouped(split.tokens), " tokens of ", Grouped(split.text_bytes), " bytes in ",
                     split.files.size(), split.files.size() == 1 ? " shard\n" : " shards\n"));
    }
    return out +
           Cat("vocabulary: ", Grouped(info.vocab_size), " (", info.tokenizer_kind, ")\nwritten to ", output_, "\n");
  }

  std::vector<std::string> inputs_;
  std::string output_, name_;
  TokenizerChoice choice_;
  double val_fraction_ = 0.1;
  bool ids_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Subcommand> MakeTokenizeCommand() { return std::make_unique<TokenizeCommand>(); }

}  // namespace gptc
