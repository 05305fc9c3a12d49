#include "runtime/data/tokenizer/bpe.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <queue>

#include "absl/container/flat_hash_map.h"
#include "runtime/data/tokenizer/pair_map.h"
#include "runtime/data/tokenizer/pieces.h"
#include "runtime/formats/files.h"
#include "xxhash.h"

namespace gptc {
namespace {

constexpr size_t kBlock = 1 << 16;     // ids given to a sink at once
constexpr size_t kShortPiece = 64;     // up to this many bytes merging by plain search is fastest
constexpr size_t kWorthACache = 4096;  // bytes of text from which on a cache of pieces pays
constexpr int32_t kNoMerge = std::numeric_limits<int32_t>::max();

// Remembers the ids of short pieces: words repeat, so most of a text is looked up and not merged. Direct-mapped, so its
// size is fixed (3 MiB) however long the text.
class PieceCache {
 public:
  static constexpr size_t kLongestPiece = 20;
  static constexpr size_t kMostIds = 6;
  struct Entry {
    char text[kLongestPiece];
    uint8_t size;  // 0: free
    uint8_t count;
    int32_t ids[kMostIds];
  };

  // The entry where `piece` is or would be. REQUIRES: 0 < piece.size() <= kLongestPiece.
  Entry& Slot(std::string_view piece) { return entries_[XXH3_64bits(piece.data(), piece.size()) & (kEntries - 1)]; }
  static bool Holds(const Entry& entry, std::string_view piece) {
    return entry.size == piece.size() && std::memcmp(entry.text, piece.data(), piece.size()) == 0;
  }
  static void Fill(std::string_view piece, std::span<const int32_t> ids, Entry* entry) {
    if (ids.size() > kMostIds) return;
    std::memcpy(entry->text, piece.data(), piece.size());
    entry->size = static_cast<uint8_t>(piece.size());
    entry->count = static_cast<uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry->ids);
  }

 private:
  static constexpr size_t kEntries = 1 << 16;
  std::vector<Entry> entries_ = std::vector<Entry>(kEntries);
};

class BpeTokenizer : public Tokenizer {
 public:
  BpeTokenizer(BpeModel model, PairMap ranks, std::vector<int32_t> results, std::array<int32_t, 256> byte_ids)
      : model_(std::move(model)), ranks_(std::move(ranks)), results_(std::move(results)), byte_ids_(byte_ids) {}

  std::string_view kind() const override { return "bpe"; }
  int vocab_size() const override { return static_cast<int>(model_.tokens.size()); }
  std::optional<int> eot() const override { return model_.eot; }
  const BpeModel* bpe() const override { return &model_; }

  std::string_view TokenBytes(int id) const override {
    if (id < 0 || id >= vocab_size()) return {};
    return model_.tokens[static_cast<size_t>(id)];
  }

  Status EncodeTo(std::string_view text, const TokenSink& sink) const override {
    std::unique_ptr<PieceCache> cache;
    if (text.size() >= kWorthACache) cache = std::make_unique<PieceCache>();
    std::vector<int32_t> block;
    block.reserve(std::min(kBlock + 4096, text.size()));
    PieceReader reader(text);
    for (std::string_view piece; reader.Next(&piece);) {
      const size_t before = block.size();
      if (cache != nullptr && piece.size() <= PieceCache::kLongestPiece) {
        PieceCache::Entry& entry = cache->Slot(piece);
        if (PieceCache::Holds(entry, piece)) {
          block.insert(block.end(), entry.ids, entry.ids + entry.count);
        } else {
          RETURN_IF_ERROR(EncodePiece(piece, &block));
          PieceCache::Fill(piece, std::span(block).subspan(before), &entry);
        }
      } else {
        RETURN_IF_ERROR(EncodePiece(piece, &block));
      }
      if (block.size() >= kBlock) {
        RETURN_IF_ERROR(sink(block));
        block.clear();
      }
    }
    return block.empty() ? OkStatus() : sink(block);
  }

  Status Save(const std::string& dir) const override {
    RETURN_IF_ERROR(MakeDirectories(dir));
    RETURN_IF_ERROR(RemoveAll(dir + "/gptc_tokenizer.json"));  // of another kind, it would be found first
    RETURN_IF_ERROR(AtomicWriteFile(dir + "/vocab.json", VocabJson(model_)));
    RETURN_IF_ERROR(AtomicWriteFile(dir + "/merges.txt", MergesText(model_)));
    return AtomicWriteFile(dir + "/tokenizer.json", TokenizerJson(model_));
  }

 private:
  int32_t RankOf(int32_t left, int32_t right) const {
    const int32_t rank = ranks_.Get(left, right);
    return rank < 0 ? kNoMerge : rank;
  }

  // Appends the ids of one piece.
  Status EncodePiece(std::string_view piece, std::vector<int32_t>* out) const {
    const size_t start = out->size();
    for (char c : piece) {
      const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      if (id < 0) {
        char name[8];
        std::snprintf(name, sizeof name, "0x%02X", static_cast<unsigned char>(c));
        return InvalidArgument("the tokenizer's vocabulary has no token for the byte ", name,
                               ", which the text holds; take a byte-level vocabulary that has all 256");
      }
      out->push_back(id);
    }
    const std::span<int32_t> ids = std::span(*out).subspan(start);
    out->resize(start + (ids.size() <= kShortPiece ? MergeShort(ids) : MergeLong(ids)));
    return OkStatus();
  }

  // Merges in place; gives how many ids are left. At most kShortPiece ids.
  size_t MergeShort(std::span<int32_t> ids) const {
    size_t size = ids.size();
    int32_t ranks[kShortPiece];
    for (size_t i = 0; i + 1 < size; ++i) ranks[i] = RankOf(ids[i], ids[i + 1]);
    while (size > 1) {
      const size_t at = static_cast<size_t>(std::min_element(ranks, ranks + size - 1) - ranks);
      if (ranks[at] == kNoMerge) break;
      ids[at] = results_[static_cast<size_t>(ranks[at])];
      std::copy(ids.begin() + static_cast<ptrdiff_t>(at) + 2, ids.begin() + static_cast<ptrdiff_t>(size),
                ids.begin() + static_cast<ptrdiff_t>(at) + 1);
      if (at + 2 < size) std::copy(ranks + at + 1, ranks + size - 1, ranks + at);
      --size;
      if (at + 1 < size) ranks[at] = RankOf(ids[at], ids[at + 1]);
      if (at > 0) ranks[at - 1] = RankOf(ids[at - 1], ids[at]);
    }
    return size;
  }

  // The same for pieces of any length in O(n log n): a linked list of ids and a heap of the pairs that can merge. A
  // pair in the heap is stale, and skipped, once its place no longer holds a pair of that rank.
  size_t MergeLong(std::span<int32_t> ids) const {
    constexpr int64_t kNone = -1;
    struct Candidate {
      int32_t rank;
      int64_t at;
      bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };
    const int64_t size = static_cast<int64_t>(ids.size());
    std::vector<int64_t> before(ids.size()), after(ids.size());
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
    const auto id = [&](int64_t at) -> int32_t& { return ids[static_cast<size_t>(at)]; };
    const auto next = [&](int64_t at) -> int64_t& { return after[static_cast<size_t>(at)]; };
    const auto previous = [&](int64_t at) -> int64_t& { return before[static_cast<size_t>(at)]; };
    const auto rank_at = [&](int64_t at) {  // of the pair that starts there
      return id(at) < 0 || next(at) == kNone ? kNoMerge : RankOf(id(at), id(next(at)));
    };
    const auto offer = [&](int64_t at) {
      if (const int32_t rank = rank_at(at); rank != kNoMerge) heap.push({rank, at});
    };
    for (int64_t at = 0; at < size; ++at) {
      previous(at) = at - 1;  // kNone for the first
      next(at) = at + 1 < size ? at + 1 : kNone;
    }
    for (int64_t at = 0; at < size; ++at) offer(at);
    while (!heap.empty()) {
      const auto [rank, at] = heap.top();
      heap.pop();
      if (rank_at(at) != rank) continue;
      const int64_t gone = next(at);
      id(at) = results_[static_cast<size_t>(rank)];
      id(gone) = -1;
      next(at) = next(gone);
      if (next(at) != kNone) previous(next(at)) = at;
      offer(at);
      if (previous(at) != kNone) offer(previous(at));
    }
    return static_cast<size_t>(std::remove(ids.begin(), ids.end(), -1) - ids.begin());
  }

  BpeModel model_;
  PairMap ranks_;                 // pair -> place in the list of merges
  std::vector<int32_t> results_;  // by that place
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace

StatusOr<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(BpeModel model) {
  const int64_t size = static_cast<int64_t>(model.tokens.size());
  if (size == 0) return InvalidArgument("the vocabulary is empty");
  const auto in_range = [&](int64_t id) { return id >= 0 && id < size; };
  if (model.eot && !in_range(*model.eot)) {
    return InvalidArgument("the end-of-text id ", *model.eot, " is outside the vocabulary of ", size);
  }
  std::sort(model.special.begin(), model.special.end());
  absl::flat_hash_map<std::string, int32_t> ids;
  std::array<int32_t, 256> byte_ids;
  byte_ids.fill(-1);
  for (int32_t id = 0; id < size; ++id) {
    if (std::binary_search(model.special.begin(), model.special.end(), id)) continue;
    const std::string& token = model.tokens[static_cast<size_t>(id)];
    ids.emplace(token, id);
    if (token.size() == 1) byte_ids[static_cast<unsigned char>(token[0])] = id;
  }
  PairMap ranks(model.merges.size());
  std::vector<int32_t> results;
  for (size_t i = 0; i < model.merges.size(); ++i) {
    const auto [left, right] = model.merges[i];
    if (!in_range(left) || !in_range(right)) {
      return InvalidArgument("merge ", i + 1, " names an id outside the vocabulary of ", size);
    }
    const std::string joined = model.tokens[static_cast<size_t>(left)] + model.tokens[static_cast<size_t>(right)];
    const auto found = ids.find(joined);
    if (found == ids.end()) {
      return InvalidArgument("merge ", i + 1, " makes '", ByteLevelText(joined), "', which is not in the vocabulary");
    }
    ranks.Set(left, right, static_cast<int32_t>(i));
    results.push_back(found->second);
  }
  return std::make_unique<BpeTokenizer>(std::move(model), std::move(ranks), std::move(results), byte_ids);
}

}  // namespace gptc
