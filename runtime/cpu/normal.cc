#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/normal.cc"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"
#include "runtime/cpu/philox-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_NORMAL_ONCE
#define GPTC_RUNTIME_CPU_NORMAL_ONCE
#include <algorithm>

#include "runtime/cpu/normal.h"
#include "runtime/cpu/parallel.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// The upper 24 bits of each word, as a float in [0, 2^24).
HWY_INLINE VF Upper24(VU words) {
  const hn::Rebind<int32_t, DF> di;
  return hn::ConvertTo(DF(), hn::BitCast(di, hn::ShiftRight<8>(words)));
}

// Two normals a lane.
HWY_INLINE void BoxMuller(VU first, VU second, VF stddev, VF* cosine, VF* sine) {
  const DF d;
  const VF u = hn::Mul(hn::Add(Upper24(first), hn::Set(d, 1.0f)), hn::Set(d, 0x1p-24f));
  const VF angle = hn::MulAdd(Upper24(second), hn::Set(d, 0x1p-24f * 6.28318530718f), hn::Set(d, -3.14159265359f));
  const VF radius = hn::Mul(stddev, hn::Sqrt(hn::Mul(hn::Set(d, -2.0f), hn::Log(d, u))));
  *cosine = hn::Mul(radius, hn::Cos(d, angle));
  *sine = hn::Mul(radius, hn::Sin(d, angle));
}

// Elements [4 · block, 4 · block + count).
void NormalBlocks(float* out, int64_t block, int64_t count, float stddev, PhiloxKey key) {
  const DF d;
  const DU du;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const VF scale = hn::Set(d, stddev);
  HWY_ALIGN float buffer[4 * hn::MaxLanes(DF())];
  for (int64_t i = 0; i < count; i += 4 * lanes, block += lanes) {
    const PhiloxLanes words = PhiloxOf({hn::Add(hn::Set(du, static_cast<uint32_t>(block)), hn::Iota(du, 0u)),
                                        hn::Set(du, static_cast<uint32_t>(block >> 32)), hn::Zero(du), hn::Zero(du)},
                                       key);
    VF v0, v1, v2, v3;
    BoxMuller(words.v0, words.v1, scale, &v0, &v1);
    BoxMuller(words.v2, words.v3, scale, &v2, &v3);
    hn::StoreInterleaved4(v0, v1, v2, v3, d, buffer);
    std::copy_n(buffer, std::min(4 * lanes, count - i), out + i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {
HWY_EXPORT(NormalBlocks);
}  // namespace

void FillNormal(float* data, int64_t count, float stddev, PhiloxKey key) {
  constexpr int64_t kPiece =
      1 << 16;  // elements; a multiple of every vector's share, so that no vector crosses 2^32 blocks
  ParallelFor(ChunkCount(count, kPiece), 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kPiece;
      HWY_DYNAMIC_DISPATCH(NormalBlocks)(data + first, first / 4, std::min(kPiece, count - first), stddev, key);
    }
  });
}

}  // namespace gptc
#endif
