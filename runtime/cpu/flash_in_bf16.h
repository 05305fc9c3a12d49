// The products of attention in bf16, summed in f32 (bf16_tile.h): weights and gradients of scores are rounded to bf16
// as they become operands. The same interface as that of flash_in_f32-inl.h.
//
// Sums over keys come out across, [head size, queries], so that every product reads its left operand row by row.
#ifndef GPTC_RUNTIME_CPU_FLASH_IN_BF16_H_
#define GPTC_RUNTIME_CPU_FLASH_IN_BF16_H_

#include <cstring>

#include "runtime/cpu/bf16_tile.h"
#include "runtime/cpu/flash_attention.h"

namespace gptc {

// Space and steps that both directions have.
class FlashInBf16 {
 public:
  using Element = Bf16;
  int64_t padded() const { return padded_; }

 protected:
  FlashInBf16(const FlashHead& h, FlashPieces& pieces)
      : h_(h),
        padded_(RoundUp(h.head_size, kFlashPad)),
        all_(RoundUp(h.tokens, kFlashPad)),
        rows_(pieces.Take<Bf16>(kFlashBlock * padded_)),
        pairs_(pieces.Take<uint32_t>(kFlashBlock / 2 * padded_)),
        sums_across_(pieces.Take(padded_ * kFlashBlock)),
        sums_(pieces.Take(kFlashBlock * padded_)) {}

  // Tokens' rows across: a left operand [head size, tokens] for each block.
  Bf16* TakeAcross(FlashPieces& pieces) const { return pieces.Take<Bf16>(RoundUp(h_.tokens, kFlashBlock) * padded_); }
  void PackAcross(const void* x, Bf16* y) {
    for (int64_t token = 0; token < h_.tokens; token += kFlashBlock) {
      const int64_t tokens = std::min(kFlashBlock, h_.tokens - token), rows = RoundUp(tokens, kFlashPad);
      CopyRows(static_cast<const Bf16*>(x) + token * 3 * h_.width, 3 * h_.width, tokens, h_.head_size, padded_, rows_);
      PairRows(rows_, padded_, rows, padded_, pairs_, padded_);
      TransposeWords(pairs_, padded_, rows / 2, padded_, reinterpret_cast<uint32_t*>(y + token * padded_),
                     kFlashBlock / 2);
    }
  }
  // A block of rows across, as pairs along the head; and, where wanted, its pairs of rows.
  void PackBlock(const void* x, int64_t stride, int64_t first, int64_t count, uint32_t* across, uint32_t* pairs) {
    const int64_t rows = RoundUp(count, kFlashPad);
    CopyRows(static_cast<const Bf16*>(x) + first * stride, stride, count, h_.head_size, padded_, rows_);
    TransposeWords(reinterpret_cast<const uint32_t*>(rows_), padded_ / 2, rows, padded_ / 2, across, kFlashBlock);
    if (pairs != nullptr) PairRows(rows_, padded_, rows, padded_, pairs, padded_);
  }
  // A tile of keys' rows by queries.
  void MultiplyByQueries(const FlashTile& t, const Bf16* of_keys, const uint32_t* across, float factor,
                         float* tile) const {
    MultiplyPairs({.live = t.diagonal ? Live::kColumnsFromRow : Live::kAll,
                   .a = of_keys + t.key * padded_,
                   .stride_a = padded_,
                   .b = across,
                   .stride_b = kFlashBlock,
                   .rows = t.keys,
                   .inner = h_.head_size,
                   .columns = RoundUp(t.queries, kFlashPad),
                   .c = tile,
                   .stride_c = kFlashBlock,
                   .factor = factor});
  }
  // sums_across_ [+]= of_keysᵀ·tile
  void SumOverKeys(const FlashTile& t, Into into, const Bf16* keys_across, const uint32_t* tile, const float* factors) {
    MultiplyPairs({.live = t.diagonal ? Live::kInnerToColumn : Live::kAll,
                   .into = into,
                   .a = keys_across + t.key * padded_,
                   .stride_a = kFlashBlock,
                   .b = tile,
                   .stride_b = kFlashBlock,
                   .rows = h_.head_size,
                   .inner = t.keys,
                   .columns = RoundUp(t.queries, kFlashPad),
                   .c = sums_across_,
                   .stride_c = kFlashBlock,
                   .factors = factors});
  }
  // sums_across_ as rows.
  const float* Sums(int64_t queries) {
    TransposeWords(reinterpret_cast<const uint32_t*>(sums_across_), kFlashBlock, RoundUp(h_.head_size, 8),
                   RoundUp(queries, kFlashPad), reinterpret_cast<uint32_t*>(sums_), padded_);
    return sums_;
  }
  float score_factor() const { return h_.scale * kLog2E; }

  const FlashHead& h_;
  const int64_t padded_, all_;

 private:
  Bf16* rows_;
  uint32_t* pairs_;
  float *sums_across_, *sums_;
};

class ForwardInBf16 : public FlashInBf16 {
 public:
  ForwardInBf16(const FlashHead& h, FlashPieces& pieces)
      : FlashInBf16(h, pieces),
        k_(pieces.Take<Bf16>(all_ * padded_)),
        values_across_(TakeAcross(pieces)),
        queries_across_(pieces.Take<uint32_t>(padded_ / 2 * kFlashBlock)),
        weights_(pieces.Take<uint32_t>(kFlashBlock / 2 * kFlashBlock)) {}

  void PackKeysAndValues() {
    CopyRows(static_cast<const Bf16*>(h_.k), 3 * h_.width, h_.tokens, h_.head_size, padded_, k_);
    PackAcross(h_.v, values_across_);
  }
  void PackQueries(int64_t query, int64_t queries) {
    PackBlock(h_.q, 3 * h_.width, query, queries, queries_across_, nullptr);
  }
  void Scores(const FlashTile& t, float* scores) const {
    MultiplyByQueries(t, k_, queries_across_, score_factor(), scores);
  }
  void AddValues(const FlashTile& t, Into into, const float* weights, const float* factors) {
    RoundTile(weights, kFlashBlock, t.keys, RoundUp(t.queries, kFlashPad), t.diagonal, nullptr, weights_);
    SumOverKeys(t, into, values_across_, weights_, factors);
  }
  const float* Result(int64_t queries) { return Sums(queries); }

 private:
  Bf16 *k_, *values_across_;
  uint32_t *queries_across_, *weights_;
};

class BackwardInBf16 : public FlashInBf16 {
 public:
  BackwardInBf16(const FlashHead& h, FlashPieces& pieces)
      : FlashInBf16(h, pieces),
        k_(pieces.Take<Bf16>(all_ * padded_)),
        v_(pieces.Take<Bf16>(all_ * padded_)),
        keys_across_(TakeAcross(pieces)),
        weights_(pieces.Take<Bf16>(kFlashBlock * kFlashBlock)),
        gradients_(pieces.Take<Bf16>(kFlashBlock * kFlashBlock)),
        gradient_pairs_(pieces.Take<uint32_t>(kFlashBlock / 2 * kFlashBlock)),
        queries_across_(pieces.Take<uint32_t>(padded_ / 2 * kFlashBlock)),
        dy_across_(pieces.Take<uint32_t>(padded_ / 2 * kFlashBlock)),
        query_pairs_(pieces.Take<uint32_t>(kFlashBlock / 2 * padded_)),
        dy_pairs_(pieces.Take<uint32_t>(kFlashBlock / 2 * padded_)),
        dk_(pieces.Take(all_ * padded_)),
        dv_(pieces.Take(all_ * padded_)) {}

  void PackKeysAndValues() {
    CopyRows(static_cast<const Bf16*>(h_.k), 3 * h_.width, h_.tokens, h_.head_size, padded_, k_);
    CopyRows(static_cast<const Bf16*>(h_.v), 3 * h_.width, h_.tokens, h_.head_size, padded_, v_);
    PackAcross(h_.k, keys_across_);
  }
  void ClearKeys() {
    std::memset(dk_, 0, sizeof(float) * all_ * padded_);
    std::memset(dv_, 0, sizeof(float) * all_ * padded_);
  }
  void PackQueries(int64_t query, int64_t queries) {
    PackBlock(h_.q, 3 * h_.width, query, queries, queries_across_, query_pairs_);
    PackBlock(h_.dy, h_.width, query, queries, dy_across_, dy_pairs_);
  }
  void Scores(const FlashTile& t, float* scores) const {
    MultiplyByQueries(t, k_, queries_across_, score_factor(), scores);
  }
  void WeightGradients(const FlashTile& t, float* gradients) const {
    MultiplyByQueries(t, v_, dy_across_, 1, gradients);
  }
  void Ready(const FlashTile& t, const float* weights, const float* gradients) {
    const int64_t columns = RoundUp(t.queries, kFlashPad);
    RoundTile(weights, kFlashBlock, t.keys, columns, t.diagonal, weights_, nullptr);
    RoundTile(gradients, kFlashBlock, t.keys, columns, t.diagonal, gradients_, gradient_pairs_);
  }
  void AddToKeys(const FlashTile& t, Into into, const float*, const float*) {
    SumOverQueries(t, into, weights_, dy_pairs_, dv_);
    SumOverQueries(t, into, gradients_, query_pairs_, dk_);
  }
  void AddToQueries(const FlashTile& t, Into into, const float*) {
    SumOverKeys(t, into, keys_across_, gradient_pairs_, nullptr);
  }
  const float* QueryGradients(int64_t queries) { return Sums(queries); }
  const float* KeyGradients(int64_t key) const { return dk_ + key * padded_; }
  const float* ValueGradients(int64_t key) const { return dv_ + key * padded_; }
  float key_factor() const { return h_.scale; }

 private:
  void SumOverQueries(const FlashTile& t, Into into, const Bf16* tile, const uint32_t* pairs, float* sums) const {
    MultiplyPairs({.live = t.diagonal ? Live::kInnerFromRow : Live::kAll,
                   .into = into,
                   .a = tile,
                   .stride_a = kFlashBlock,
                   .b = pairs,
                   .stride_b = padded_,
                   .rows = t.keys,
                   .inner = t.queries,
                   .columns = padded_,
                   .c = sums + t.key * padded_,
                   .stride_c = padded_});
  }

  Bf16 *k_, *v_, *keys_across_, *weights_, *gradients_;
  uint32_t *gradient_pairs_, *queries_across_, *dy_across_, *query_pairs_, *dy_pairs_;
  float *dk_, *dv_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_FLASH_IN_BF16_H_
