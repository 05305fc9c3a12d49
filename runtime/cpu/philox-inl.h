// Philox4x32-10 (ir/base/philox.h) on vectors of counters, once per instruction set. Include it after
// hwy/foreach_target.h; everything is in HWY_NAMESPACE.
#if defined(GPTC_RUNTIME_CPU_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTC_RUNTIME_CPU_PHILOX_INL_H_
#undef GPTC_RUNTIME_CPU_PHILOX_INL_H_
#else
#define GPTC_RUNTIME_CPU_PHILOX_INL_H_
#endif

#include "ir/base/philox.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

using DU = hn::Rebind<uint32_t, DF>;
using VU = hn::Vec<DU>;

#if HWY_TARGET != HWY_SCALAR
struct WideProduct {
  VU high, low;
};
HWY_INLINE WideProduct WideMultiply(VU a, VU factor) {
  const DU d;
  const hn::Repartition<uint64_t, DU> d64;
  const auto even = hn::MulEven(a, factor);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, a))), factor);
  return {hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even))),
          hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even))};
}
#endif

// A counter (before) or four words (after) in each lane.
struct PhiloxLanes {
  VU v0, v1, v2, v3;
};
HWY_INLINE PhiloxLanes PhiloxOf(PhiloxLanes c, PhiloxKey key) {
  const DU d;
#if HWY_TARGET == HWY_SCALAR
  const PhiloxCounter out =
      Philox4x32({hn::GetLane(c.v0), hn::GetLane(c.v1), hn::GetLane(c.v2), hn::GetLane(c.v3)}, key);
  return {hn::Set(d, out[0]), hn::Set(d, out[1]), hn::Set(d, out[2]), hn::Set(d, out[3])};
#else
  const VU m0 = hn::Set(d, 0xD2511F53u), m1 = hn::Set(d, 0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    const WideProduct p0 = WideMultiply(c.v0, m0), p1 = WideMultiply(c.v2, m1);
    c.v0 = hn::Xor(hn::Xor(p1.high, c.v1), hn::Set(d, key[0]));
    c.v1 = p1.low;
    c.v2 = hn::Xor(hn::Xor(p0.high, c.v3), hn::Set(d, key[1]));
    c.v3 = p0.low;
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#endif
