// y = x · mask / (1 - rate); the mask is that of ir/base/philox.h, computed anew from seed, step, sequence, op key and
// element. x, y: [sequences, ...], f32, bf16 or f64; y may be x. Parallel over pieces of a sequence; reads 1, writes 1.
//
// A vector of counters gives the words of four times as many neighbouring elements.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/dropout.cc"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"
#include "runtime/cpu/philox-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_DROPOUT_ONCE
#define GPTC_RUNTIME_CPU_DROPOUT_ONCE
#include <algorithm>

#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {
struct Mask {
  PhiloxKey key;
  uint64_t sequence;  // in the global batch
  uint64_t step;
  uint32_t threshold;
  double scale;  // of what is kept
};
// Elements to a work item: a multiple of every vector's share.
constexpr int64_t kPiece = 4096;
}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// words[0 .. 4 · lanes) of `lanes` blocks from `block` on. The blocks share the upper half of their number where that
// has one: lanes divide 2^32 and `block` is a multiple of them.
HWY_INLINE void Words(const Mask& mask, uint64_t block, uint32_t* words) {
  const DU d;
  const PhiloxCounter first = DropoutCounter(block, mask.sequence, mask.step);
  const PhiloxLanes out = PhiloxOf({hn::Add(hn::Set(d, first[0]), hn::Iota(d, 0u)), hn::Set(d, first[1]),
                                    hn::Set(d, first[2]), hn::Set(d, first[3])},
                                   mask.key);
  hn::StoreInterleaved4(out.v0, out.v1, out.v2, out.v3, d, words);
}

// Elements [start, start + n) of one sequence; start is a multiple of kPiece, x and y point at its element.
template <typename T>
HWY_INLINE void DropRow(const Mask& mask, int64_t start, const T* x, T* y, size_t n) {
  const DF d;
  const DU du;
  const size_t lanes = hn::Lanes(d);
  const VF scale = hn::Set(d, static_cast<float>(mask.scale));
  // Lanes are kept whose word >= threshold; as signed numbers, which every instruction set compares.
  const hn::Rebind<int32_t, DF> di;
  const VU flip = hn::Set(du, 0x80000000u);
  const auto threshold = hn::BitCast(di, hn::Set(du, mask.threshold ^ 0x80000000u));
  HWY_ALIGN uint32_t words[4 * hn::MaxLanes(DF())];
  const auto drop = [&](VF v, const uint32_t* w) HWY_ATTR {
    const auto word = hn::BitCast(di, hn::Xor(hn::Load(du, w), flip));
    return hn::IfThenZeroElse(hn::RebindMask(d, hn::Lt(word, threshold)), hn::Mul(v, scale));
  };
  for (size_t i = 0; i < n; i += 4 * lanes) {
    Words(mask, static_cast<uint64_t>(start + static_cast<int64_t>(i)) / 4, words);
    for (size_t k = 0; k < 4 && i + k * lanes < n; ++k) {
      const size_t at = i + k * lanes, rest = n - at;
      if (rest >= lanes) {
        StoreFloats(drop(LoadFloats(x + at), words + k * lanes), y + at);
      } else {
        StoreSome(drop(LoadSome(x + at, rest), words + k * lanes), y + at, rest);
      }
    }
  }
}
void DropF32(const Mask& mask, int64_t start, const float* x, float* y, size_t n) { DropRow(mask, start, x, y, n); }
void DropBf16(const Mask& mask, int64_t start, const Bf16* x, Bf16* y, size_t n) { DropRow(mask, start, x, y, n); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(DropF32);
HWY_EXPORT(DropBf16);

void DropF64(const Mask& mask, int64_t start, const double* x, double* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const auto element = static_cast<uint64_t>(start) + i;
    const uint32_t word = Philox4x32(DropoutCounter(element / 4, mask.sequence, mask.step), mask.key)[element % 4];
    y[i] = word >= mask.threshold ? x[i] * mask.scale : 0;
  }
}

template <typename T, typename Row>
BoundKernel DropLoop(const KernelArgs& args, Row row) {
  const double rate = args.attributes.Double("rate");
  const int64_t sequences = args.result().dim(0);
  const int64_t elements = sequences == 0 ? 0 : args.result().count() / sequences;
  const int64_t pieces = ChunkCount(elements, kPiece);
  return [=, op_key = args.attributes.Int("key"), x = args.input(0).as<const T>(),
          scalars = args.input(1).as<const double>(), y = args.result().as<T>()] {
    const auto scalar = [&](Scalar which) { return static_cast<uint64_t>(static_cast<int64_t>(scalars[which])); };
    const Mask mask = {DropoutKey(scalar(kSeed), op_key), scalar(kFirstSequence), scalar(kStep), DropoutThreshold(rate),
                       1 / (1 - rate)};
    ParallelFor(sequences * pieces, GrainFor(4 * std::min(elements, kPiece)), [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t b = item / pieces, start = (item - b * pieces) * kPiece;
        Mask own = mask;
        own.sequence += static_cast<uint64_t>(b);
        row(own, start, x + b * elements + start, y + b * elements + start,
            static_cast<size_t>(std::min(kPiece, elements - start)));
      }
    });
  };
}

}  // namespace

StatusOr<BoundKernel> BindCpuDropout(const KernelArgs& args) {
  const DType dtype = args.result().type.dtype;
  if (args.input(0).type.dtype == dtype && args.result().rank() >= 1) {
    if (dtype == DType::kF32)
      return DropLoop<float>(args, [](auto&&... row) { HWY_DYNAMIC_DISPATCH(DropF32)(row...); });
    if (dtype == DType::kBF16)
      return DropLoop<Bf16>(args, [](auto&&... row) { HWY_DYNAMIC_DISPATCH(DropBf16)(row...); });
    if (dtype == DType::kF64) return DropLoop<double>(args, DropF64);
  }
  return Unsupported("dropout", args, "f32, bf16 or f64");
}

}  // namespace gptc
#endif  // HWY_ONCE
