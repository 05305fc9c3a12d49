// Elementwise arithmetic on rows, once per instruction set. Include it after hwy/foreach_target.h; everything is in
// HWY_NAMESPACE.
#if defined(GPTC_RUNTIME_CPU_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_ELEMENTWISE_INL_H_
#undef GPTC_RUNTIME_CPU_ELEMENTWISE_INL_H_
#else
#define GPTC_RUNTIME_CPU_ELEMENTWISE_INL_H_
#endif

#include "runtime/cpu/elementwise.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

template <typename T>
HWY_INLINE void BinaryRow(Binary op, const T* a, bool a_steps, const T* b, bool b_steps, T* y, size_t n) {
  const auto map = [&](const auto& f) HWY_ATTR { MapRow2(a, a_steps, b, b_steps, y, n, f); };
  switch (op) {
    case Binary::kAdd:
      return map([](VF u, VF v) HWY_ATTR { return hn::Add(u, v); });
    case Binary::kSub:
      return map([](VF u, VF v) HWY_ATTR { return hn::Sub(u, v); });
    case Binary::kMul:
      return map([](VF u, VF v) HWY_ATTR { return hn::Mul(u, v); });
    case Binary::kDiv:
      return map([](VF u, VF v) HWY_ATTR { return hn::Div(u, v); });
    case Binary::kMax:
      return map([](VF u, VF v) HWY_ATTR { return Larger(u, v); });
  }
}

template <typename T>
HWY_INLINE void UnaryRow(Unary op, const T* x, T* y, size_t n) {
  const auto map = [&](const auto& f) HWY_ATTR { MapRow(x, y, n, f); };
  switch (op) {
    case Unary::kNeg:
      return map([](VF v) HWY_ATTR { return hn::Neg(v); });
    case Unary::kExp:
      return map([](VF v) HWY_ATTR { return ExpOf(v); });
    case Unary::kLog:
      return map([](VF v) HWY_ATTR { return LogOf(v); });
    case Unary::kTanh:
      return map([](VF v) HWY_ATTR { return TanhOf(v); });
    case Unary::kErf:
      return map([](VF v) HWY_ATTR { return ErfOf(v); });
    case Unary::kSqrt:
      return map([](VF v) HWY_ATTR { return hn::Sqrt(v); });
    case Unary::kRsqrt:
      return map([](VF v) HWY_ATTR { return hn::Div(hn::Set(DF(), 1.0f), hn::Sqrt(v)); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
