// Activations and GELU's derivative on vectors and rows (activation.cc says which formulas), once per instruction set.
// Include it after hwy/foreach_target.h; everything is in HWY_NAMESPACE.
#if defined(GPTC_RUNTIME_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_ACTIVATION_INL_H_
#undef GPTC_RUNTIME_CPU_ACTIVATION_INL_H_
#else
#define GPTC_RUNTIME_CPU_ACTIVATION_INL_H_
#endif

#include "runtime/cpu/activation.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

HWY_INLINE VF F(double value) { return hn::Set(DF(), static_cast<float>(value)); }

// -2u of the tanh form.
HWY_INLINE VF MinusTwoU(VF x) {
  const VF x2 = hn::Mul(x, x);
  return hn::Mul(x, hn::MulAdd(x2, F(-2 * kSqrt2OverPi * kCubic), F(-2 * kSqrt2OverPi)));
}

// x within ±10: beyond, gelu and its derivative are their limits to the last bit, and no factor overflows.
HWY_INLINE VF Held(VF x) {
  return hn::IfThenElse(hn::Gt(x, F(10)), F(10), hn::IfThenElse(hn::Lt(x, F(-10)), F(-10), x));
}

HWY_INLINE VF GeluTanh(VF x) {
  const VF sigma = ReciprocalOf(hn::Add(F(1), ExpWithin(MinusTwoU(Held(x)))));
  return hn::Mul(x, hn::IfThenZeroElse(hn::Lt(x, F(-10)), sigma));
}

// σ + x·σ(1-σ)·2u'.
HWY_INLINE VF GeluTanhDerivative(VF x) {
  const VF held = Held(x);
  const VF e = ExpWithin(MinusTwoU(held));
  const VF sigma = ReciprocalOf(hn::Add(F(1), e));
  const VF x2 = hn::Mul(held, held);
  const VF two_du = hn::MulAdd(x2, F(6 * kSqrt2OverPi * kCubic), F(2 * kSqrt2OverPi));
  return hn::MulAdd(hn::Mul(hn::Mul(held, sigma), hn::Mul(e, sigma)), two_du, sigma);
}

HWY_INLINE VF GeluErf(VF x) { return hn::Mul(x, NormalCdf(x)); }

// Φ(x) + x·φ(x)
HWY_INLINE VF GeluErfDerivative(VF x) {
  const VF density = hn::Mul(F(kInverseSqrt2Pi), ExpOf(hn::Mul(hn::Mul(x, x), F(-0.5))));
  return hn::MulAdd(x, density, NormalCdf(x));
}

HWY_INLINE VF Relu(VF x) { return hn::IfThenElse(hn::Lt(x, hn::Zero(DF())), hn::Zero(DF()), x); }
HWY_INLINE VF Silu(VF x) { return hn::Div(x, hn::Add(F(1), ExpOf(hn::Neg(x)))); }

template <typename T>
HWY_INLINE void ForwardRow(Activation kind, const T* x, T* y, size_t n) {
  switch (kind) {
    case Activation::kGeluTanh:
      return MapRow(x, y, n, [](VF v) HWY_ATTR { return GeluTanh(v); });
    case Activation::kGeluErf:
      return MapRow(x, y, n, [](VF v) HWY_ATTR { return GeluErf(v); });
    case Activation::kRelu:
      return MapRow(x, y, n, [](VF v) HWY_ATTR { return Relu(v); });
    case Activation::kSigmoid:
      return MapRow(x, y, n, [](VF v) HWY_ATTR { return SigmoidOf(v); });
    case Activation::kSilu:
      return MapRow(x, y, n, [](VF v) HWY_ATTR { return Silu(v); });
  }
}
template <typename T>
HWY_INLINE void GeluBackwardRow(bool tanh, const T* x, const T* dy, T* dx, size_t n) {
  if (tanh) {
    MapRow2(x, true, dy, true, dx, n, [](VF v, VF d) HWY_ATTR { return hn::Mul(d, GeluTanhDerivative(v)); });
  } else {
    MapRow2(x, true, dy, true, dx, n, [](VF v, VF d) HWY_ATTR { return hn::Mul(d, GeluErfDerivative(v)); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
