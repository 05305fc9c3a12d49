// Tokenizers: text to token ids and back, every byte preserved.
//
// Three kinds:
//   bytes  ids 0 to 255 are the bytes, 256 is the end-of-text token.
//   chars  the distinct characters of a text, in ascending order; no end-of-text token (nanoGPT's character level).
//   bpe    byte-level byte-pair encoding with GPT-2's split pattern (bpe.h).
// Text is bytes. What is valid UTF-8 is read as such; a byte that is not is a character (chars) or a piece (bpe) of its
// own. The names of special tokens in a text ("<|endoftext|>") are ordinary text: no text can smuggle in a control
// token.
//
// A tokenizer is immutable; all methods may be called from several threads at once.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_TOKENIZER_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

struct BpeModel;

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// Receives token ids block by block; an error ends the encoding with that error.
using TokenSink = std::function<Status(std::span<const int32_t>)>;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // "bytes", "chars" or "bpe".
  virtual std::string_view kind() const = 0;
  virtual int vocab_size() const = 0;
  // The id of the end-of-text token, where there is one.
  virtual std::optional<int> eot() const = 0;
  // The bytes that a token stands for; that of end-of-text is its name. Empty for an id outside the vocabulary and for
  // an id that the vocabulary leaves unused.
  virtual std::string_view TokenBytes(int id) const = 0;
  // Encodes a text of any length in bounded memory, giving `sink` blocks of ids in order. InvalidArgument for a
  // character that the vocabulary lacks (chars, or a bpe vocabulary without some byte).
  virtual Status EncodeTo(std::string_view text, const TokenSink& sink) const = 0;
  // Writes the tokenizer into the folder `dir`, which is made: gptc_tokenizer.json for bytes and chars; vocab.json,
  // merges.txt and tokenizer.json, as transformers reads them, for bpe. LoadTokenizer(dir) gives an equal tokenizer.
  virtual Status Save(const std::string& dir) const = 0;
  // The vocabulary and merges of a bpe tokenizer, null for the others.
  virtual const BpeModel* bpe() const { return nullptr; }

  StatusOr<std::vector<int32_t>> Encode(std::string_view text) const;
  // InvalidArgument, naming the id and its place, for an id outside the vocabulary.
  StatusOr<std::string> Decode(std::span<const int32_t> ids) const;
  // XXH3 (64 bits) of the canonical content: kind, bytes of every token, merges, end-of-text. Equal hashes mean that
  // token streams may be mixed.
  uint64_t hash() const;
  // The hash as shards.json has it: 16 hexadecimal digits.
  std::string hash_text() const;
};

std::unique_ptr<Tokenizer> MakeBytesTokenizer();

// The distinct characters of the texts. InvalidArgument where there are none.
StatusOr<std::unique_ptr<Tokenizer>> MakeCharsTokenizer(std::span<const std::string_view> texts);
// From `codes`, the characters in ascending order (code points, or kRawByte + byte: utf8.h).
StatusOr<std::unique_ptr<Tokenizer>> CharsTokenizerFromCodes(std::vector<uint32_t> codes);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_TOKENIZER_H_
