// The bytes and chars tokenizers, and the file they are kept in, gptc_tokenizer.json:
//   {"format": "gptc-tokenizer", "version": 1, "kind": "bytes", "vocab_size": 257, "eot": 256}
//   {"format": "gptc-tokenizer", "version": 1, "kind": "chars", "code_points": [10, 32, ...], "raw_bytes": [255, ...]}
// Ids of chars count the code points first and then the raw bytes (bytes of the text that were not UTF-8), each
// ascending.
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "runtime/data/tokenizer/tokenizer.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

constexpr size_t kBlock = 1 << 16;  // ids given to a sink at once

Status SaveJson(const std::string& dir, std::string_view content) {
  RETURN_IF_ERROR(MakeDirectories(dir));
  for (const char* other : {"tokenizer.json", "vocab.json", "merges.txt"}) {  // of another kind
    RETURN_IF_ERROR(RemoveAll(JoinPath(dir, other)));
  }
  return AtomicWriteFile(JoinPath(dir, "gptc_tokenizer.json"), content);
}

class BytesTokenizer : public Tokenizer {
 public:
  BytesTokenizer() {
    for (int i = 0; i < 256; ++i) bytes_[static_cast<size_t>(i)] = static_cast<char>(i);
  }
  std::string_view kind() const override { return "bytes"; }
  int vocab_size() const override { return 257; }
  std::optional<int> eot() const override { return 256; }

  std::string_view TokenBytes(int id) const override {
    if (id == 256) return kEndOfText;
    if (id < 0 || id > 256) return {};
    return {&bytes_[static_cast<size_t>(id)], 1};
  }

  Status EncodeTo(std::string_view text, const TokenSink& sink) const override {
    std::vector<int32_t> block;
    for (size_t at = 0; at < text.size(); at += kBlock) {
      const std::string_view part = text.substr(at, kBlock);
      block.resize(part.size());
      std::transform(part.begin(), part.end(), block.begin(), [](char c) { return static_cast<unsigned char>(c); });
      RETURN_IF_ERROR(sink(block));
    }
    return OkStatus();
  }

  Status Save(const std::string& dir) const override {
    return SaveJson(dir,
                    "{\"format\": \"gptc-tokenizer\", \"version\": 1, \"kind\": \"bytes\", \"vocab_size\": 257, "
                    "\"eot\": 256}\n");
  }

 private:
  std::array<char, 256> bytes_;
};

class CharsTokenizer : public Tokenizer {
 public:
  explicit CharsTokenizer(std::vector<uint32_t> codes) : codes_(std::move(codes)) {
    ascii_.fill(-1);
    for (size_t i = 0; i < codes_.size(); ++i) {
      if (codes_[i] < 128) ascii_[codes_[i]] = static_cast<int32_t>(i);
      ids_[codes_[i]] = static_cast<int32_t>(i);
      std::string text;
      AppendCharacter(codes_[i], &text);
      texts_.push_back(std::move(text));
    }
  }
  std::string_view kind() const override { return "chars"; }
  int vocab_size() const override { return static_cast<int>(codes_.size()); }
  std::optional<int> eot() const override { return std::nullopt; }

  std::string_view TokenBytes(int id) const override {
    if (id < 0 || id >= vocab_size()) return {};
    return texts_[static_cast<size_t>(id)];
  }

  Status EncodeTo(std::string_view text, const TokenSink& sink) const override {
    std::vector<int32_t> block;
    block.reserve(std::min(kBlock, text.size()));
    for (size_t at = 0; at < text.size();) {
      const unsigned char byte = static_cast<unsigned char>(text[at]);
      int32_t id = byte < 128 ? ascii_[byte] : -1;
      int size = 1;
      if (byte >= 128) {
        const Character c = FirstCharacter(text.substr(at, 4));
        size = c.size;
        if (const auto found = ids_.find(c.code); found != ids_.end()) id = found->second;
      }
      if (id < 0) return Unknown(text, at);
      block.push_back(id);
      at += static_cast<size_t>(size);
      if (block.size() == kBlock || at == text.size()) {
        RETURN_IF_ERROR(sink(block));
        block.clear();
      }
    }
    return OkStatus();
  }

  Status Save(const std::string& dir) const override {
    std::vector<uint32_t> points, raw;
    for (uint32_t code : codes_) {
      if (code < kRawByte) {
        points.push_back(code);
      } else {
        raw.push_back(code - kRawByte);
      }
    }
    const auto list = [](const std::vector<uint32_t>& v) { return Cat("[", Join(v, ", "), "]"); };
    return SaveJson(dir, Cat("{\"format\": \"gptc-tokenizer\", \"version\": 1, \"kind\": \"chars\", "
                             "\"code_points\": ",
                             list(points), ", \"raw_bytes\": ", list(raw), "}\n"));
  }

 private:
  static Status Unknown(std::string_view text, size_t at) {
    const Character c = FirstCharacter(text.substr(at, 4));
    char name[32];
    const bool raw = c.code >= kRawByte;
    std::snprintf(name, sizeof name, raw ? "byte 0x%02X" : "character U+%04X", raw ? c.code - kRawByte : c.code);
    const bool shown = !raw && c.code > 0x20 && c.code != 0x7F;
    return InvalidArgument(
        "the ", name, shown ? Cat(" '", text.substr(at, static_cast<size_t>(c.size)), "'") : "", " at byte ", at,
        " of the text is not among the characters of this tokenizer; a chars tokenizer knows only the "
        "characters of the text it was made from (bytes and bpe know every text)");
  }

  std::vector<uint32_t> codes_;
  std::vector<std::string> texts_;
  std::array<int32_t, 128> ascii_;
  absl::flat_hash_map<uint32_t, int32_t> ids_;
};

}  // namespace

std::unique_ptr<Tokenizer> MakeBytesTokenizer() { return std::make_unique<BytesTokenizer>(); }

StatusOr<std::unique_ptr<Tokenizer>> MakeCharsTokenizer(std::span<const std::string_view> texts) {
  std::vector<bool> seen(kRawByte + 256);
  for (std::string_view text : texts) {
    for (size_t at = 0; at < text.size();) {
      const Character c = FirstCharacter(text.substr(at, 4));
      seen[c.code] = true;
      at += static_cast<size_t>(c.size);
    }
  }
  std::vector<uint32_t> codes;
  for (uint32_t code = 0; code < seen.size(); ++code) {
    if (seen[code]) codes.push_back(code);
  }
  if (codes.empty()) return InvalidArgument("the text is empty: a chars tokenizer needs at least one character");
  return CharsTokenizerFromCodes(std::move(codes));
}

StatusOr<std::unique_ptr<Tokenizer>> CharsTokenizerFromCodes(std::vector<uint32_t> codes) {
  if (codes.empty()) return InvalidArgument("a chars tokenizer needs at least one character");
  for (size_t i = 0; i < codes.size(); ++i) {
    const bool surrogate = codes[i] >= 0xD800 && codes[i] < 0xE000;
    const bool low_raw = codes[i] >= kRawByte && codes[i] < kRawByte + 128;
    if (codes[i] >= kRawByte + 256 || surrogate || low_raw || (i > 0 && codes[i] <= codes[i - 1])) {
      return InvalidArgument("character number ", i, " (", codes[i],
                             ") is out of order or no character: code points must ascend");
    }
  }
  return std::make_unique<CharsTokenizer>(std::move(codes));
}

}  // namespace gptc
