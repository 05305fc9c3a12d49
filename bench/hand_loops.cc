#include "bench/hand_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/hand_loops.cc"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/activation-inl.h"
#include "runtime/cpu/reduction-inl.h"
// clang-format on

#ifndef GPTC_BENCH_HAND_LOOPS_ONCE
#define GPTC_BENCH_HAND_LOOPS_ONCE
#include "runtime/cpu/parallel.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

// The widths measured are whole vectors.
void ScaleAddRow(const float* x, const float* b, float* y, int64_t n) {
  const VF a = hn::Set(DF(), kHandScale);
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(DF())))
    StoreFloats(hn::MulAdd(a, LoadFloats(x + i), LoadFloats(b + i)), y + i);
}

void BiasGeluRow(const float* x, const float* bias, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(DF())))
    StoreFloats(GeluTanh(hn::Add(LoadFloats(x + i), LoadFloats(bias + i))), y + i);
}

void ResidualCastRow(const float* x, const float* r, float* y, Bf16* narrow, int64_t n) {
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(DF()))) {
    const VF sum = hn::Add(LoadFloats(x + i), LoadFloats(r + i));
    StoreFloats(sum, y + i);
    StoreFloats(sum, narrow + i);
  }
}

void SoftmaxRow(const float* x, float* y, int64_t n) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(DF()));
  const VF most = hn::Set(DF(), ReduceBlock(x, static_cast<size_t>(n), MaxStep()));
  VF sum = hn::Zero(DF());
  for (int64_t i = 0; i < n; i += lanes) {
    const VF e = ExpOf(hn::Sub(LoadFloats(x + i), most));
    sum = hn::Add(sum, e);
    StoreFloats(e, y + i);
  }
  const VF total = hn::Set(DF(), Across(sum, SumStep()));
  for (int64_t i = 0; i < n; i += lanes) StoreFloats(hn::Div(LoadFloats(y + i), total), y + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {

HWY_EXPORT(ScaleAddRow);
HWY_EXPORT(BiasGeluRow);
HWY_EXPORT(ResidualCastRow);
HWY_EXPORT(SoftmaxRow);

namespace {
template <typename Row>
void ForRows(int64_t rows, int64_t width, const Row& row) {
  ParallelFor(rows, GrainFor(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) row(i * width);
  });
}
}  // namespace

void HandScaleAdd(const float* x, const float* b, float* y, int64_t rows, int64_t width) {
  ForRows(rows, width, [&](int64_t at) { HWY_DYNAMIC_DISPATCH(ScaleAddRow)(x + at, b + at, y + at, width); });
}
void HandBiasGelu(const float* x, const float* bias, float* y, int64_t rows, int64_t width) {
  ForRows(rows, width, [&](int64_t at) { HWY_DYNAMIC_DISPATCH(BiasGeluRow)(x + at, bias, y + at, width); });
}
void HandResidualCast(const float* x, const float* r, float* y, Bf16* narrow, int64_t rows, int64_t width) {
  ForRows(rows, width, [&](int64_t at) {
    HWY_DYNAMIC_DISPATCH(ResidualCastRow)(x + at, r + at, y + at, narrow + at, width);
  });
}
void HandSoftmax(const float* x, float* y, int64_t rows, int64_t width) {
  ForRows(rows, width, [&](int64_t at) { HWY_DYNAMIC_DISPATCH(SoftmaxRow)(x + at, y + at, width); });
}

}  // namespace gptc
#endif  // HWY_ONCE
