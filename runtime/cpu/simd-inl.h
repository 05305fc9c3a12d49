// Vector building blocks of the kernels, once per instruction set: loads and stores that read bf16 as f32, mapped rows,
// and the functions that activations need. Include it after hwy/foreach_target.h; everything is in HWY_NAMESPACE.
//
// A row's end is computed on a padded vector by the same instructions as its middle, so that an element's bits do not
// depend on where it stands in a row or chunk.
#if defined(GPTC_RUNTIME_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_SIMD_INL_H_
#undef GPTC_RUNTIME_CPU_SIMD_INL_H_
#else
#define GPTC_RUNTIME_CPU_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "runtime/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

HWY_INLINE VF LoadFloats(const float* p) { return hn::LoadU(DF(), p); }
HWY_INLINE void StoreFloats(VF v, float* p) { hn::StoreU(v, DF(), p); }

HWY_INLINE VF LoadFloats(const Bf16* p) {
  const hn::Rebind<uint16_t, DF> du16;
  const hn::Rebind<uint32_t, DF> du32;
  return hn::BitCast(DF(),
                     hn::ShiftLeft<16>(hn::PromoteTo(du32, hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p)))));
}
// The bits of each element as bf16, in the lower half of a lane: rounded to nearest even; a NaN stays one. The same as
// Bf16FromFloat's.
HWY_INLINE hn::Vec<hn::Rebind<uint32_t, DF>> RoundedBits(VF v) {
  const hn::Rebind<uint32_t, DF> du32;
  const auto bits = hn::BitCast(du32, v);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(du32, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du32, 0x7fffu)), odd));
  const auto quiet = hn::Or(upper, hn::Set(du32, 0x40u));
  const auto nan = hn::RebindMask(du32, hn::IsNaN(v));
  return hn::IfThenElse(nan, quiet, rounded);
}
HWY_INLINE void StoreFloats(VF v, Bf16* p) {
  const hn::Rebind<uint16_t, DF> du16;
  const hn::Rebind<int32_t, DF> di32;
  hn::StoreU(hn::DemoteTo(du16, hn::BitCast(di32, RoundedBits(v))), du16, reinterpret_cast<uint16_t*>(p));
}

// The first n < Lanes elements; the other lanes are 0 (load) or dropped (store).
template <typename T>
HWY_INLINE VF LoadSome(const T* p, size_t n) {
  HWY_ALIGN T buffer[hn::MaxLanes(DF())] = {};
  std::memcpy(buffer, p, n * sizeof(T));
  return LoadFloats(buffer);
}
template <typename T>
HWY_INLINE void StoreSome(VF v, T* p, size_t n) {
  HWY_ALIGN T buffer[hn::MaxLanes(DF())];
  StoreFloats(v, buffer);
  std::memcpy(p, buffer, n * sizeof(T));
}

// y[i] = f(x[i]). y may be x.
template <typename TX, typename TY, typename F>
HWY_INLINE void MapRow(const TX* x, TY* y, size_t n, const F& f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreFloats(f(LoadFloats(x + i)), y + i);
  if (i < n) StoreSome(f(LoadSome(x + i, n - i)), y + i, n - i);
}

// y[i] = f(a[i], b[i]); an operand with step 0 is one element for the whole row. y may be a or b.
template <typename T, typename F>
HWY_INLINE void MapRow2(const T* a, bool a_steps, const T* b, bool b_steps, T* y, size_t n, const F& f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  if (a_steps && b_steps) {
    for (; i + lanes <= n; i += lanes) StoreFloats(f(LoadFloats(a + i), LoadFloats(b + i)), y + i);
    if (i < n) StoreSome(f(LoadSome(a + i, n - i), LoadSome(b + i, n - i)), y + i, n - i);
  } else if (a_steps) {
    const VF vb = hn::Set(DF(), ToFloat(*b));
    for (; i + lanes <= n; i += lanes) StoreFloats(f(LoadFloats(a + i), vb), y + i);
    if (i < n) StoreSome(f(LoadSome(a + i, n - i), vb), y + i, n - i);
  } else {
    const VF va = hn::Set(DF(), ToFloat(*a));
    const VF vb = hn::Set(DF(), ToFloat(*b));
    if (b_steps) {
      for (; i + lanes <= n; i += lanes) StoreFloats(f(va, LoadFloats(b + i)), y + i);
      if (i < n) StoreSome(f(va, LoadSome(b + i, n - i)), y + i, n - i);
    } else {
      const VF v = f(va, vb);
      for (; i + lanes <= n; i += lanes) StoreFloats(v, y + i);
      if (i < n) StoreSome(v, y + i, n - i);
    }
  }
}

// NaN where either is.
HWY_INLINE VF Larger(VF a, VF b) { return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b); }

// e^x with its limits: 0 below -104, +inf above 88.7, NaN for NaN. 1 ulp within.
HWY_INLINE VF ExpOf(VF x) {
  const DF d;
  // Highway's polynomial is right up to 104, where its result has overflowed to +inf already, and gives 0 for a NaN.
  const VF y = hn::Exp(d, hn::Min(x, hn::Set(d, 100.0f)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// 2^(n + r) for |r| <= 1/2, where `shifted` is n + kExp2Shift.
HWY_INLINE VF Exp2OfParts(VF shifted, VF r) {
  const DF d;
  VF q = hn::Set(d, kExp2[5]);
#pragma GCC unroll 5
  for (int i = 4; i >= 0; --i) q = hn::MulAdd(q, r, hn::Set(d, kExp2[i]));
  const hn::Rebind<int32_t, DF> di;
  const VF power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  return hn::Mul(hn::MulAdd(q, r, hn::Set(d, 1.0f)), power);
}

// 2^x for x <= 126; 0 where that is below 2^-100, which next to a sum of at least 1 is nothing: what it would lead to
// are numbers below the smallest normal one, with which arithmetic is a hundred times slower. A NaN stays one.
HWY_INLINE VF Exp2Of(VF x) {
  const DF d;
  const VF magic = hn::Set(d, kExp2Shift);
  const VF shifted = hn::Add(x, magic);
  const VF y = Exp2OfParts(shifted, hn::Sub(x, hn::Sub(shifted, magic)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -100.0f)), y);
}

// e^x for |x| <= 87.3. 2 ulp. A NaN stays one.
HWY_INLINE VF ExpWithin(VF x) {
  const DF d;
  const VF magic = hn::Set(d, kExp2Shift);
  const VF shifted = hn::MulAdd(x, hn::Set(d, kLog2E), magic);
  const VF n = hn::Sub(shifted, magic);
  const VF rest = hn::NegMulAdd(n, hn::Set(d, kLn2Low), hn::NegMulAdd(n, hn::Set(d, kLn2High), x));
  return Exp2OfParts(shifted, hn::Mul(rest, hn::Set(d, kLog2E)));
}

// e^x for x <= 0, and 0 below e^-87, the smallest normal number, for the same reason. 2 ulp. A NaN stays one.
HWY_INLINE VF ExpOfNegative(VF x) { return hn::IfThenZeroElse(hn::Lt(x, hn::Set(DF(), -87.0f)), ExpWithin(x)); }

// 1 / x for normal numbers up to 2^126. AVX-512 approximates to 14 bits, which one step of Newton's makes 1 ulp of;
// elsewhere a division is as good.
HWY_INLINE VF ReciprocalOf(VF x) {
#if HWY_TARGET <= HWY_AVX3
  const VF r = hn::ApproximateReciprocal(x);
  return hn::Mul(r, hn::NegMulAdd(x, r, hn::Set(DF(), 2.0f)));
#else
  return hn::Div(hn::Set(DF(), 1.0f), x);
#endif
}

// log x: -inf at 0, NaN below and for NaN, +inf for +inf. 4 ulp.
HWY_INLINE VF LogOf(VF x) {
  const DF d;
  const VF zero = hn::Zero(d);
  const VF infinity = hn::Inf(d);
  VF y = hn::Log(d, x);
  y = hn::IfThenElse(hn::Eq(x, infinity), infinity, y);
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), y);
  return hn::IfThenElse(hn::Or(hn::Lt(x, zero), hn::IsNaN(x)), hn::NaN(d), y);
}

HWY_INLINE VF TanhOf(VF x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(DF(), x)); }

// 1 / (1 + e^-x); the exponential overflows where the quotient is 0 anyway.
HWY_INLINE VF SigmoidOf(VF x) {
  const DF d;
  const VF one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, ExpOf(hn::Neg(x))));
}

// erf(t) and erfc(t) for t >= 0 (NaN gives NaN). Both approximations are fits of our own, by interpolation at Chebyshev
// nodes in 40-digit arithmetic:
//   t < 1:   erf t = t + t·p(t²), p of degree 7: relative error < 1e-7
//   t >= 1:  erfc t = exp(-t·q(t)), q of degree 9 fitted on [0.95, 6]: error of erf < 1e-7; of erfc, relative, 2e-6 up
//   to 3 and 1e-5 up to 6; t > 6:   erfc t, below 3e-17, is 0
struct ErfPair {
  VF erf, erfc;
};
HWY_INLINE ErfPair ErfOfPositive(VF t) {
  const DF d;
  const auto c = [](double value) HWY_ATTR { return hn::Set(DF(), static_cast<float>(value)); };
  const VF one = c(1);
  const VF z = hn::Mul(t, t);
  VF p = c(kErfSmall[7]);
  for (int i = 6; i >= 0; --i) p = hn::MulAdd(p, z, c(kErfSmall[i]));
  const VF small = hn::MulAdd(p, t, t);

  const VF limit = c(6);
  const VF u = hn::Min(t, limit);
  VF q = c(kErfcLarge[9]);
  for (int i = 8; i >= 0; --i) q = hn::MulAdd(q, u, c(kErfcLarge[i]));
  VF large = hn::Exp(d, hn::Neg(hn::Mul(q, u)));
  large = hn::IfThenElse(hn::Gt(t, limit), hn::Zero(d), large);

  // A NaN is not >= 1 and takes the polynomial, which keeps it.
  const auto is_large = hn::Ge(t, one);
  return {hn::IfThenElse(is_large, hn::Sub(one, large), small), hn::IfThenElse(is_large, large, hn::Sub(one, small))};
}

HWY_INLINE VF ErfOf(VF x) { return hn::CopySign(ErfOfPositive(hn::Abs(x)).erf, x); }

// The normal distribution's function, (1 + erf(x / √2)) / 2, without cancellation for negative x.
HWY_INLINE VF NormalCdf(VF x) {
  const DF d;
  const VF half = hn::Set(d, 0.5f);
  const ErfPair pair = ErfOfPositive(hn::Abs(hn::Mul(x, hn::Set(d, 0.70710678f))));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(half, pair.erfc), hn::MulAdd(half, pair.erf, half));
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
