// Byte-level byte-pair encoding, as GPT-2 has it (Sennrich et al., "Neural Machine Translation of Rare Words with
// Subword Units", 2016; Radford et al., 2019). A text is split into pieces (pieces.h); each piece starts as its bytes'
// tokens, and while any adjacent pair is in the list of merges, the pair of the earliest merge (the leftmost of equals)
// becomes one token.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_BPE_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_BPE_H_

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/data/tokenizer/tokenizer.h"

namespace gptc {

struct BpeModel {
  // The bytes of each token by id; empty for an id that is not used.
  std::vector<std::string> tokens;
  // Pairs of ids, earliest first; the token that a pair becomes is the one of their joined bytes.
  std::vector<std::pair<int32_t, int32_t>> merges;
  // Which tokens are special: no text becomes them. Ascending ids.
  std::vector<int32_t> special;
  std::optional<int> eot;
};

// InvalidArgument where the model is not whole: an id out of range, a merge whose result is no token.
StatusOr<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(BpeModel model);

// GPT-2's names for bytes in its files: the 188 printable bytes of Latin-1 (33-126, 161-172, 174-255) stand for
// themselves and the other 68 for U+0100 and up, in order, so that no token holds white space.
std::string ByteLevelText(std::string_view bytes);
// The inverse; nothing where `text` holds a character outside the 256.
std::optional<std::string> BytesOfByteLevel(std::string_view text);
// The bytes in the order of those names, which is the order of GPT-2's first 256 ids.
const std::array<unsigned char, 256>& Gpt2ByteOrder();

// Learns a vocabulary: 256 bytes in GPT-2's order, then merges, then "<|endoftext|>" as the last id. Each merge joins
// the most frequent adjacent pair within the pieces of `texts`, of equally frequent ones the smallest pair of ids. Ends
// early where no pair occurs twice. Deterministic.
//
// Memory is bounded: of more than `sample_bytes` of text only evenly spaced stretches of that many bytes in all are
// read, at most 64 Mi bytes of distinct pieces are held, and a piece longer than 256 bytes counts as several of 256.
// REQUIRES: 257 <= vocab_size <= kLargestVocabulary.
inline constexpr int kLargestVocabulary = 1 << 20;
BpeModel TrainBpe(std::span<const std::string_view> texts, int vocab_size, int64_t sample_bytes = int64_t{256} << 20);

// The file forms of a model (bpe_files.cc). Each `where` names the file in errors; each gives InvalidArgument for
// content that is not of the form and for tokenizers that would split text differently than this one does.
//
// tokenizer.json of the tokenizers library: model BPE, pre-tokenizer ByteLevel without prefix space, no normalizer.
StatusOr<BpeModel> ParseTokenizerJson(std::string_view json, const std::string& where);
// vocab.json (encoder.json) with merges.txt (vocab.bpe).
StatusOr<BpeModel> ParseVocabAndMerges(std::string_view vocab_json, const std::string& vocab_where,
                                       std::string_view merges_text, const std::string& merges_where);
// llm.c's tokenizer .bin: 1,024-byte header [20240328, version 1 or 2, tokens, eot], then u8 length and bytes of each
// token. It holds no merges; they follow from the order of the ids, which in GPT-2 is the order of the merges.
StatusOr<BpeModel> ParseLlmcTokenizer(std::string_view bytes, const std::string& where);
inline constexpr int32_t kLlmcTokenizerMagic = 20240328;

std::string VocabJson(const BpeModel& model);
std::string MergesText(const BpeModel& model);
std::string TokenizerJson(const BpeModel& model);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_BPE_H_
