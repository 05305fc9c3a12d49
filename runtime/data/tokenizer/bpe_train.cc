// Learning the merges (bpe.h): distinct pieces with their counts first, then one merge at a time, with the counts of
// pairs kept up to date from the few pieces that each merge touches.
#include <algorithm>
#include <queue>
#include <string>
#include <unordered_map>

#include "absl/container/flat_hash_map.h"
#include "ir/base/check.h"
#include "runtime/data/tokenizer/bpe.h"
#include "runtime/data/tokenizer/pieces.h"

namespace gptc {
namespace {

constexpr size_t kLongestPiece = 256;
constexpr int64_t kMostSymbols = int64_t{64} << 20;
constexpr int64_t kStretches = 64;  // that a sample of a large text is taken in

struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};
using Pair = std::pair<int32_t, int32_t>;

class PieceCounts {
 public:
  void Add(std::string_view text) {
    PieceReader reader(text);
    for (std::string_view piece; reader.Next(&piece);) {
      for (; piece.size() > kLongestPiece; piece.remove_prefix(kLongestPiece)) Count(piece.substr(0, kLongestPiece));
      Count(piece);
    }
  }

  // In the order of the pieces' bytes, so that nothing depends on hashing.
  std::vector<Word> Words() const {
    std::array<int32_t, 256> id_of_byte;
    for (size_t i = 0; i < 256; ++i) id_of_byte[Gpt2ByteOrder()[i]] = static_cast<int32_t>(i);
    std::vector<std::pair<std::string_view, int64_t>> sorted(counts_.begin(), counts_.end());
    std::sort(sorted.begin(), sorted.end());
    std::vector<Word> words;
    for (const auto& [piece, count] : sorted) {
      if (piece.size() < 2) continue;  // no pairs
      Word& word = words.emplace_back(Word{{}, count});
      for (char c : piece) word.symbols.push_back(id_of_byte[static_cast<unsigned char>(c)]);
    }
    return words;
  }

 private:
  void Count(std::string_view piece) {
    if (symbols_ + static_cast<int64_t>(piece.size()) <= kMostSymbols) {
      if (++counts_[piece] == 1) symbols_ += static_cast<int64_t>(piece.size());
    } else if (const auto found = counts_.find(piece); found != counts_.end()) {
      ++found->second;
    }
  }

  std::unordered_map<std::string_view, int64_t> counts_;  // pieces lie in the texts
  int64_t symbols_ = 0;
};

PieceCounts CountPieces(std::span<const std::string_view> texts, int64_t sample_bytes) {
  int64_t total = 0;
  for (std::string_view text : texts) total += static_cast<int64_t>(text.size());
  PieceCounts counts;
  for (std::string_view text : texts) {
    if (total <= sample_bytes) {
      counts.Add(text);
      continue;
    }
    const double share = static_cast<double>(sample_bytes) / static_cast<double>(total);
    const size_t stride = std::max<size_t>(text.size() / kStretches, 1 << 16);
    for (size_t at = 0; at < text.size(); at += stride) {
      counts.Add(text.substr(at, static_cast<size_t>(static_cast<double>(stride) * share) + 1));
    }
  }
  return counts;
}

class Trainer {
 public:
  explicit Trainer(std::vector<Word> words) : words_(std::move(words)) {
    for (size_t w = 0; w < words_.size(); ++w) {
      const auto& s = words_[w].symbols;
      for (size_t i = 0; i + 1 < s.size(); ++i) AddPair({s[i], s[i + 1]}, words_[w].count, static_cast<uint32_t>(w));
    }
    for (const auto& [pair, about] : pairs_) heap_.push({about.count, pair});
    touched_.clear();
  }

  // The most frequent pair that occurs at least twice, or nothing.
  std::optional<Pair> Best() {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(top.pair);
      const int64_t count = found == pairs_.end() ? 0 : found->second.count;
      if (count == top.count) return count >= 2 ? std::optional(top.pair) : std::nullopt;
      if (count > 0 && count < top.count) heap_.push({count, top.pair});
    }
    return std::nullopt;
  }

  void Merge(const Pair& pair, int32_t result) {
    const auto found = pairs_.find(pair);
    const std::vector<uint32_t> where = std::move(found->second.words);
    pairs_.erase(found);
    for (uint32_t w : where) MergeIn(w, pair, result);
    // Only the pairs added can have become more frequent; those that became rarer are put right when they come up.
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const Pair& new_pair : touched_) {
      if (const auto now = pairs_.find(new_pair); now != pairs_.end()) heap_.push({now->second.count, new_pair});
    }
    touched_.clear();
  }

 private:
  struct About {
    int64_t count = 0;
    std::vector<uint32_t> words;  // that hold it or once held it; a word may stand there twice
  };
  struct Candidate {
    int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void AddPair(const Pair& pair, int64_t count, uint32_t word) {
    About& about = pairs_[pair];
    touched_.push_back(pair);
    about.count += count;
    if (about.words.empty() || about.words.back() != word) about.words.push_back(word);
  }
  void DropPair(const Pair& pair, int64_t count) {
    const auto found = pairs_.find(pair);
    if (found == pairs_.end()) return;  // the pair being merged
    found->second.count -= count;
    if (found->second.count == 0) pairs_.erase(found);
  }

  void MergeIn(uint32_t w, const Pair& pair, int32_t result) {
    std::vector<int32_t>& s = words_[w].symbols;
    const int64_t count = words_[w].count;
    size_t to = 0;
    for (size_t from = 0; from < s.size(); ++from) {
      if (from + 1 < s.size() && s[from] == pair.first && s[from + 1] == pair.second) {
        if (to > 0) {
          DropPair({s[to - 1], pair.first}, count);
          AddPair({s[to - 1], result}, count, w);
        }
        if (from + 2 < s.size()) {
          DropPair({pair.second, s[from + 2]}, count);
          AddPair({result, s[from + 2]}, count, w);
        }
        s[to++] = result;
        ++from;
      } else {
        s[to++] = s[from];
      }
    }
    s.resize(to);
  }

  std::vector<Word> words_;
  absl::flat_hash_map<Pair, About> pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<Pair> touched_;  // pairs added to since the heap was last fed
};

}  // namespace

BpeModel TrainBpe(std::span<const std::string_view> texts, int vocab_size, int64_t sample_bytes) {
  CHECK(vocab_size >= 257 && vocab_size <= kLargestVocabulary);
  BpeModel model;
  for (unsigned char byte : Gpt2ByteOrder()) model.tokens.emplace_back(1, static_cast<char>(byte));
  // Two merges can make the same bytes ("a" + "bc", "ab" + "c"): both then make the one token.
  absl::flat_hash_map<std::string, int32_t> ids;
  for (size_t id = 0; id < model.tokens.size(); ++id) ids[model.tokens[id]] = static_cast<int32_t>(id);
  Trainer trainer(CountPieces(texts, sample_bytes).Words());
  while (static_cast<int>(model.tokens.size()) < vocab_size - 1) {
    const std::optional<Pair> best = trainer.Best();
    if (!best) break;
    const auto bytes = [&](int32_t id) -> const std::string& { return model.tokens[static_cast<size_t>(id)]; };
    std::string joined = bytes(best->first) + bytes(best->second);
    const auto [entry, is_new] = ids.emplace(joined, static_cast<int32_t>(model.tokens.size()));
    if (is_new) model.tokens.push_back(std::move(joined));
    trainer.Merge(*best, entry->second);
    model.merges.push_back(*best);
  }
  model.eot = static_cast<int>(model.tokens.size());
  model.special = {*model.eot};
  model.tokens.emplace_back(kEndOfText);
  return model;
}

}  // namespace gptc
