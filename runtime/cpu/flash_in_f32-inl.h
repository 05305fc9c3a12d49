// The products of attention in f32, of tensors of f32 or bf16; once per instruction set. Include it after
// hwy/foreach_target.h; everything is in HWY_NAMESPACE.
#if defined(GPTC_RUNTIME_CPU_FLASH_IN_F32_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_FLASH_IN_F32_INL_H_
#undef GPTC_RUNTIME_CPU_FLASH_IN_F32_INL_H_
#else
#define GPTC_RUNTIME_CPU_FLASH_IN_F32_INL_H_
#endif

#include "runtime/cpu/flash_attention.h"
#include "runtime/cpu/flash_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// Space and steps that both directions have.
template <typename T>
class FlashInF32 {
 public:
  using Element = T;
  int64_t padded() const { return padded_; }
  void PackKeysAndValues() {
    PackRows(static_cast<const T*>(h_.k), 3 * h_.width, h_.tokens, h_.head_size, padded_, 1, k_);
    PackRows(static_cast<const T*>(h_.v), 3 * h_.width, h_.tokens, h_.head_size, padded_, 1, v_);
  }

 protected:
  FlashInF32(const FlashHead& h, FlashPieces& pieces)
      : h_(h),
        padded_(RoundUp(h.head_size, kFlashPad)),
        all_(RoundUp(h.tokens, kFlashPad)),
        k_(pieces.Take(all_ * padded_)),
        v_(pieces.Take(all_ * padded_)) {}

  void PackBlock(const void* x, int64_t stride, int64_t first, int64_t count, float factor, float* y) const {
    PackRows(static_cast<const T*>(x) + first * stride, stride, count, h_.head_size, padded_, factor, y);
  }
  // A tile of keys' rows by queries.
  void MultiplyByQueries(const FlashTile& t, const float* of_keys, const float* across, float* tile) const {
    Multiply<false, Into::kNew>(t.diagonal ? Live::kColumnsFromRow : Live::kAll, of_keys + t.key * padded_, padded_,
                                across, kFlashBlock, t.keys, h_.head_size, RoundUp(t.queries, kLanes), tile,
                                kFlashBlock);
  }

  const FlashHead& h_;
  const int64_t padded_, all_;
  float *k_, *v_;
};

template <typename T>
class ForwardInF32 : public FlashInF32<T> {
  using Base = FlashInF32<T>;
  using Base::h_, Base::padded_;

 public:
  ForwardInF32(const FlashHead& h, FlashPieces& pieces)
      : Base(h, pieces),
        q_(pieces.Take(kFlashBlock * padded_)),
        queries_across_(pieces.Take(padded_ * kFlashBlock)),
        out_(pieces.Take(kFlashBlock * padded_)) {}

  void PackQueries(int64_t query, int64_t queries) {
    Base::PackBlock(h_.q, 3 * h_.width, query, queries, h_.scale * kLog2E, q_);
    PackTransposed(q_, queries, h_.head_size, padded_, 1, queries_across_);
  }
  // scores = scale · log2 e · k·qᵀ
  void Scores(const FlashTile& t, float* scores) const {
    Base::MultiplyByQueries(t, Base::k_, queries_across_, scores);
  }
  // The result becomes weightsᵀ·v [+ factors · the result].
  void AddValues(const FlashTile& t, Into into, const float* weights, const float* factors) {
    const Live live = t.diagonal ? Live::kInnerToRow : Live::kAll;
    const auto multiply = into == Into::kNew ? &Multiply<true, Into::kNew> : &Multiply<true, Into::kScaledSum>;
    multiply(live, weights, kFlashBlock, Base::v_ + t.key * padded_, padded_, t.queries, t.keys, padded_, out_, padded_,
             factors);
  }
  const float* Result(int64_t) const { return out_; }

 private:
  float *q_, *queries_across_, *out_;
};

template <typename T>
class BackwardInF32 : public FlashInF32<T> {
  using Base = FlashInF32<T>;
  using Base::h_, Base::padded_, Base::all_, Base::k_;

 public:
  BackwardInF32(const FlashHead& h, FlashPieces& pieces)
      : Base(h, pieces),
        dk_(pieces.Take(all_ * padded_)),
        dv_(pieces.Take(all_ * padded_)),
        q_(pieces.Take(kFlashBlock * padded_)),
        dy_(pieces.Take(kFlashBlock * padded_)),
        dq_(pieces.Take(kFlashBlock * padded_)),
        queries_across_(pieces.Take(padded_ * kFlashBlock)),
        dy_across_(pieces.Take(padded_ * kFlashBlock)) {}

  void ClearKeys() {
    std::memset(dk_, 0, sizeof(float) * all_ * padded_);
    std::memset(dv_, 0, sizeof(float) * all_ * padded_);
  }
  void PackQueries(int64_t query, int64_t queries) {
    // q carries the scale that dk needs; that of base 2 comes on top in the scores.
    Base::PackBlock(h_.q, 3 * h_.width, query, queries, h_.scale, q_);
    PackTransposed(q_, queries, h_.head_size, padded_, kLog2E, queries_across_);
    Base::PackBlock(h_.dy, h_.width, query, queries, 1, dy_);
    PackTransposed(dy_, queries, h_.head_size, padded_, 1, dy_across_);
  }
  void Scores(const FlashTile& t, float* scores) const { Base::MultiplyByQueries(t, k_, queries_across_, scores); }
  // gradients = v·dyᵀ
  void WeightGradients(const FlashTile& t, float* gradients) const {
    Base::MultiplyByQueries(t, Base::v_, dy_across_, gradients);
  }
  // Both tiles are done.
  void Ready(const FlashTile&, const float*, const float*) {}
  // dv [+]= weights·dy, dk [+]= gradients·q / key_factor
  void AddToKeys(const FlashTile& t, Into into, const float* weights, const float* gradients) {
    const Live live = t.diagonal ? Live::kInnerFromRow : Live::kAll;
    const auto multiply = into == Into::kNew ? &Multiply<false, Into::kNew> : &Multiply<false, Into::kSum>;
    multiply(live, weights, kFlashBlock, dy_, padded_, t.keys, t.queries, padded_, dv_ + t.key * padded_, padded_,
             nullptr);
    multiply(live, gradients, kFlashBlock, q_, padded_, t.keys, t.queries, padded_, dk_ + t.key * padded_, padded_,
             nullptr);
  }
  // dq [+]= gradientsᵀ·k / scale
  void AddToQueries(const FlashTile& t, Into into, const float* gradients) {
    const Live live = t.diagonal ? Live::kInnerToRow : Live::kAll;
    const auto multiply = into == Into::kNew ? &Multiply<true, Into::kNew> : &Multiply<true, Into::kSum>;
    multiply(live, gradients, kFlashBlock, k_ + t.key * padded_, padded_, t.queries, t.keys, padded_, dq_, padded_,
             nullptr);
  }
  const float* QueryGradients(int64_t) const { return dq_; }
  const float* KeyGradients(int64_t key) const { return dk_ + key * padded_; }
  const float* ValueGradients(int64_t key) const { return dv_ + key * padded_; }
  float key_factor() const { return 1; }

 private:
  float *dk_, *dv_, *q_, *dy_, *dq_, *queries_across_, *dy_across_;
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
