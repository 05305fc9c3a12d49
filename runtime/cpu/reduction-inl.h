// Reductions of rows, and the sums of partial rows, once per instruction set. Include it after hwy/foreach_target.h;
// everything is in HWY_NAMESPACE.
#if defined(GPTC_RUNTIME_CPU_REDUCTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_REDUCTION_INL_H_
#undef GPTC_RUNTIME_CPU_REDUCTION_INL_H_
#else
#define GPTC_RUNTIME_CPU_REDUCTION_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "runtime/cpu/reduction.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

struct SumStep {
  static constexpr float kNeutral = 0;
  HWY_INLINE VF operator()(VF a, VF b) const { return hn::Add(a, b); }
};
struct MaxStep {
  static constexpr float kNeutral = -std::numeric_limits<float>::infinity();
  HWY_INLINE VF operator()(VF a, VF b) const { return Larger(a, b); }
};

// The lanes' combination, in their order.
template <typename Step>
HWY_INLINE float Across(VF v, Step step) {
  HWY_ALIGN float lanes[hn::MaxLanes(DF())];
  hn::Store(v, DF(), lanes);
  float total = lanes[0];
  for (size_t i = 1; i < hn::Lanes(DF()); ++i) total = hn::GetLane(step(hn::Set(DF(), total), hn::Set(DF(), lanes[i])));
  return total;
}

template <typename T, typename Step>
HWY_INLINE float ReduceBlock(const T* x, size_t n, Step step) {
  const size_t lanes = hn::Lanes(DF());
  const VF neutral = hn::Set(DF(), Step::kNeutral);
  VF a0 = neutral, a1 = neutral, a2 = neutral, a3 = neutral;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a0 = step(a0, LoadFloats(x + i));
    a1 = step(a1, LoadFloats(x + i + lanes));
    a2 = step(a2, LoadFloats(x + i + 2 * lanes));
    a3 = step(a3, LoadFloats(x + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) a0 = step(a0, LoadFloats(x + i));
  if (i < n) {
    HWY_ALIGN float rest[hn::MaxLanes(DF())];
    hn::Store(neutral, DF(), rest);
    for (size_t k = i; k < n; ++k) rest[k - i] = ToFloat(x[k]);
    a0 = step(a0, hn::Load(DF(), rest));
  }
  return Across(step(step(a0, a1), step(a2, a3)), step);
}

template <typename T>
HWY_INLINE double ReduceRun(Reduction kind, const T* x, size_t n) {
  if (kind == Reduction::kMax) return ReduceBlock(x, n, MaxStep());
  double total = 0;
  for (size_t i = 0; i < n; i += kReductionBlock)
    total += ReduceBlock(x + i, std::min<size_t>(kReductionBlock, n - i), SumStep());
  return total;
}

// y[c] = scale · (partials[0, c] ∘ partials[1, c] ∘ ...), partial rows `stride` apart.
template <typename T>
HWY_INLINE void JoinColumns(Reduction kind, const float* partials, int64_t stride, int64_t count, float scale, T* y,
                            size_t n) {
  const VF factor = hn::Set(DF(), scale);
  const auto join = [&](size_t i, auto load) HWY_ATTR {
    VF total = load(partials + i);
    for (int64_t p = 1; p < count; ++p) {
      const VF next = load(partials + p * stride + i);
      total = kind == Reduction::kMax ? Larger(total, next) : hn::Add(total, next);
    }
    return kind == Reduction::kMean ? hn::Mul(total, factor) : total;
  };
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreFloats(join(i, [](const float* p) HWY_ATTR { return LoadFloats(p); }), y + i);
  if (i < n) StoreSome(join(i, [&](const float* p) HWY_ATTR { return LoadSome(p, n - i); }), y + i, n - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
