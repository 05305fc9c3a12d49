#include "runtime/data/tokenizer/load.h"

#include <filesystem>

#include "nlohmann/json.hpp"
#include "runtime/data/tokenizer/bpe.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using nlohmann::json;

constexpr size_t kLargestFile = size_t{256} << 20;

StatusOr<MappedFile> OpenTokenizerFile(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  if (file.size() > kLargestFile) {
    return InvalidArgument("'", path, "' has ", HumanBytes(static_cast<int64_t>(file.size())),
                           ", too much for a tokenizer");
  }
  return file;
}

std::string_view TextOf(const MappedFile& file) { return {reinterpret_cast<const char*>(file.data()), file.size()}; }

StatusOr<std::unique_ptr<Tokenizer>> FromModel(StatusOr<BpeModel> model, const std::string& path) {
  if (!model.ok()) return model.status();
  StatusOr<std::unique_ptr<Tokenizer>> tokenizer = MakeBpeTokenizer(*std::move(model));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), Cat("'", path, "'"));
  return tokenizer;
}

// gptc_tokenizer.json (simple_tokenizers.cc).
StatusOr<std::unique_ptr<Tokenizer>> FromOurJson(const json& root, const std::string& path) {
  const auto bad = [&](std::string_view what) { return InvalidArgument("'", path, "': ", what); };
  if (root.value("version", json()) != json(1)) return bad("only version 1 of gptc-tokenizer is known");
  const json kind = root.value("kind", json());
  if (kind == json("bytes")) return MakeBytesTokenizer();
  if (kind != json("chars")) return bad("the kind must be \"bytes\" or \"chars\"");
  std::vector<uint32_t> codes;
  for (const auto& [name, base, limit] :
       {std::tuple("code_points", uint32_t{0}, kRawByte), std::tuple("raw_bytes", kRawByte, uint32_t{256})}) {
    const json list = root.value(name, json());
    if (!list.is_array()) return bad(Cat(name, " must be a list of numbers"));
    for (const json& code : list) {
      if (!code.is_number_unsigned() || code.get<uint64_t>() >= limit)
        return bad(Cat(name, " holds what is no character"));
      codes.push_back(base + code.get<uint32_t>());
    }
  }
  StatusOr<std::unique_ptr<Tokenizer>> tokenizer = CharsTokenizerFromCodes(std::move(codes));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), Cat("'", path, "'"));
  return tokenizer;
}

StatusOr<std::unique_ptr<Tokenizer>> FromVocabAndMerges(const std::string& vocab, const std::string& merges) {
  ASSIGN_OR_RETURN(const MappedFile vocab_file, OpenTokenizerFile(vocab));
  ASSIGN_OR_RETURN(const MappedFile merges_file, OpenTokenizerFile(merges));
  return FromModel(ParseVocabAndMerges(TextOf(vocab_file), vocab, TextOf(merges_file), merges), vocab);
}

// The first of `names` that is in the folder of `path`.
StatusOr<std::string> Beside(const std::string& path, std::initializer_list<const char*> names) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  for (const char* name : names) {
    if (const std::string candidate = (folder / name).string(); IsRegularFile(candidate)) return candidate;
  }
  return NotFound("'", path, "' is half of a tokenizer: the other half, ",
                  Join(names, " or ", [](const char* name) { return std::string(name); }), ", is not beside it");
}

StatusOr<std::unique_ptr<Tokenizer>> FromFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, OpenTokenizerFile(path));
  const std::string_view bytes = TextOf(file);
  if (bytes.size() >= 4) {
    int32_t magic;
    std::copy_n(bytes.data(), 4, reinterpret_cast<char*>(&magic));
    if (magic == kLlmcTokenizerMagic) return FromModel(ParseLlmcTokenizer(bytes, path), path);
  }
  const size_t first = bytes.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && bytes[first] == '{') {
    const json root = json::parse(bytes.begin(), bytes.end(), nullptr, /*allow_exceptions=*/false);
    if (root.is_discarded()) return InvalidArgument("'", path, "' is not valid JSON");
    if (root.value("format", json()) == json("gptc-tokenizer")) return FromOurJson(root, path);
    if (root.contains("model") && root["model"].is_object()) return FromModel(ParseTokenizerJson(bytes, path), path);
    ASSIGN_OR_RETURN(const std::string merges, Beside(path, {"merges.txt", "vocab.bpe"}));
    return FromVocabAndMerges(path, merges);
  }
  if (bytes.starts_with("#version") || path.ends_with(".txt") || path.ends_with(".bpe")) {
    ASSIGN_OR_RETURN(const std::string vocab, Beside(path, {"vocab.json", "encoder.json"}));
    return FromVocabAndMerges(vocab, path);
  }
  return InvalidArgument(
      "'", path,
      "' is no tokenizer that is known: tokenizer.json, vocab.json with merges.txt, encoder.json with "
      "vocab.bpe, gptc_tokenizer.json or llm.c's tokenizer .bin");
}

StatusOr<std::unique_ptr<Tokenizer>> FromFolder(const std::string& folder) {
  for (const std::string& dir : {folder, folder + "/tokenizer"}) {
    for (const char* name : {"gptc_tokenizer.json", "tokenizer.json"}) {
      if (const std::string path = Cat(dir, "/", name); IsRegularFile(path)) return FromFile(path);
    }
    for (const auto& [vocab, merges] :
         {std::pair("vocab.json", "merges.txt"), std::pair("encoder.json", "vocab.bpe")}) {
      const std::string vocab_path = Cat(dir, "/", vocab), merges_path = Cat(dir, "/", merges);
      if (IsRegularFile(vocab_path) && IsRegularFile(merges_path)) return FromVocabAndMerges(vocab_path, merges_path);
    }
  }
  return NotFound("no tokenizer in '", folder,
                  "': it should hold tokenizer.json, vocab.json and merges.txt, encoder.json and vocab.bpe, or "
                  "gptc_tokenizer.json");
}

}  // namespace

StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& spec) {
  if (spec == "bytes") return MakeBytesTokenizer();
  if (IsDirectory(spec)) return FromFolder(spec);
  if (IsRegularFile(spec)) return FromFile(spec);
  if (spec == "chars" || spec == "bpe") {
    return InvalidArgument(
        "a ", spec,
        " tokenizer is made from a text; give the folder of the one that was saved when the text was "
        "tokenized (tokenizer/ beside the shards)");
  }
  const std::string words[] = {"bytes", "chars", "bpe"};
  const std::string near = Nearest(spec, words);
  return NotFound("no tokenizer '", spec, "': it is neither bytes, chars or bpe nor a file or folder",
                  near.empty() ? "" : Cat("; did you mean '", near, "'?"));
}

StatusOr<MadeTokenizer> MakeTokenizer(const TokenizerChoice& choice, std::span<const std::string_view> train,
                                      std::span<const std::string_view> rest) {
  int64_t size = 0;
  for (const auto& texts : {train, rest}) {
    for (std::string_view text : texts) size += static_cast<int64_t>(text.size());
  }
  MadeTokenizer made;
  std::string spec = choice.spec;
  if (spec.empty()) spec = size < (256 << 10) && choice.vocab_size == 0 ? "bytes" : "bpe";
  if (choice.vocab_size != 0 && spec != "bpe") {
    return UsageError("--vocab-size is for --tokenizer bpe, which is trained; '", spec, "' has its own vocabulary");
  }
  if (spec == "chars") {
    std::vector<std::string_view> all(train.begin(), train.end());
    all.insert(all.end(), rest.begin(), rest.end());
    ASSIGN_OR_RETURN(made.tokenizer, MakeCharsTokenizer(all));
    made.remark = Cat("tokenizer: the ", made.tokenizer->vocab_size(), " characters of the text");
    return made;
  }
  if (spec != "bpe") {
    ASSIGN_OR_RETURN(made.tokenizer, LoadTokenizer(spec));
    if (choice.spec.empty()) {
      made.remark = Cat("tokenizer: bytes and end-of-text (257 tokens), as the text has only ", HumanBytes(size),
                        "; --tokenizer chooses another");
    }
    return made;
  }
  int vocab_size = choice.vocab_size;
  if (vocab_size == 0) vocab_size = size < 20'000'000 ? 4096 : size < 1'000'000'000 ? 16384 : 50257;
  if (vocab_size < 257 || vocab_size > kLargestVocabulary) {
    return UsageError("--vocab-size ", vocab_size,
                      " is out of range: a bpe vocabulary has 257 (bytes and end-of-text) to ",
                      Grouped(kLargestVocabulary), " tokens");
  }
  ASSIGN_OR_RETURN(made.tokenizer, MakeBpeTokenizer(TrainBpe(train, vocab_size)));
  const int learned = made.tokenizer->vocab_size();
  made.remark = Cat("tokenizer: BPE of ", Grouped(learned), " tokens, trained on this text (", HumanBytes(size), ")",
                    learned < vocab_size
                        ? Cat("; ", Grouped(vocab_size), " were asked for, but no further pair of tokens occurs twice")
                        : "",
                    "; compare models across vocabularies by bits per byte, not by loss");
  return made;
}

}  // namespace gptc
