// Cross-entropy of rows of logits [rows, columns] against targets, over the first `classes` columns.
//
//   lse = log sum exp(logits),  loss = lse - logits[target];  a target below 0: loss 0; one of `classes` or more: loss
//   NaN backward: dlogits = (exp(logits - lse) - [column is target]) · dloss;  0 in the other columns and in rows
//   without a target
//
// f32 or bf16 logits, f32 arithmetic. A row is computed by one thread and crosses the memory bus once in each
// direction.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/simd.h"
#include "runtime/cpu/unsupported.h"

#ifndef GPTC_RUNTIME_CPU_LOSS_ONCE_
#define GPTC_RUNTIME_CPU_LOSS_ONCE_
namespace gptc {
namespace {
// lse = largest + log(sum). Apart, because large logits keep more digits as differences from the largest.
struct RowSum {
  float largest, sum;

  float Loss(float logit) const { return (largest - logit) + std::log(sum); }
};
}  // namespace
}  // namespace gptc
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/loss.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

// The sum of exponentials of n elements over their largest, block by block: each block's maximum and exponentials while
// it is in L1.
template <typename T>
RowSum SumExp(const T* x, int64_t n) {
  constexpr int64_t kBlock = 2048;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  const VF lowest = hn::Set(d, kLowest);
  float largest = kLowest, sum = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    VF m0 = lowest, m1 = lowest;
    int64_t i = begin;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      m0 = hn::Max(LoadFloats(x + i), m0);
      m1 = hn::Max(LoadFloats(x + i + lanes), m1);
    }
    const int64_t tail = i;
    for (; i < end; i += lanes) {
      const size_t some = static_cast<size_t>(std::min(lanes, end - i));
      m0 = hn::Max(hn::IfThenElse(hn::FirstN(d, some), LoadSome(x + i, some), lowest), m0);
    }
    const float top = std::max(largest, hn::GetLane(hn::MaxOfLanes(d, hn::Max(m0, m1))));
    // Against exp(-inf + inf); a NaN, which maxima may pass over, still makes the sum NaN.
    const float shift = top == kLowest ? 0 : top;
    const VF vshift = hn::Set(d, shift);
    VF s0 = hn::Zero(d), s1 = s0;
    for (i = begin; i < tail; i += 2 * lanes) {
      s0 = hn::Add(s0, ExpOfNegative(hn::Sub(LoadFloats(x + i), vshift)));
      s1 = hn::Add(s1, ExpOfNegative(hn::Sub(LoadFloats(x + i + lanes), vshift)));
    }
    for (; i < end; i += lanes) {
      const size_t some = static_cast<size_t>(std::min(lanes, end - i));
      s0 = hn::Add(s0, hn::IfThenElseZero(hn::FirstN(d, some), ExpOfNegative(hn::Sub(LoadSome(x + i, some), vshift))));
    }
    if (top != largest) sum *= std::exp(largest - shift);
    sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
    largest = top;
  }
  // Nothing but -inf: 0. A NaN beside them: NaN.
  return {largest == kLowest ? 0 : largest, sum};
}

// (exp(logit - shift) · factor - [column is target]) · dloss.
template <typename T>
void BackwardRow(const T* logits, T* dlogits, int64_t target, float shift, float factor, float dloss, int64_t classes,
                 int64_t columns) {
  const DF d;
  float at_target = 0;
  if (target < classes) at_target = (std::exp(ToFloat(logits[target]) - shift) * factor - 1) * dloss;
  const VF vshift = hn::Set(d, shift), scale = hn::Set(d, factor * dloss);
  MapRow(logits, dlogits, classes, [&](VF v) HWY_ATTR { return hn::Mul(ExpOfNegative(hn::Sub(v, vshift)), scale); });
  if (target < classes) StoreSome(hn::Set(d, at_target), dlogits + target, 1);
  std::memset(dlogits + classes, 0, sizeof(T) * (columns - classes));
}

// Both over one row, whose second reading finds it in the core's cache. Returns the loss.
template <typename T>
float GradientRow(const T* logits, T* dlogits, int64_t target, float dloss, int64_t classes, int64_t columns) {
  if (target < 0) {
    std::memset(dlogits, 0, sizeof(T) * columns);
    return 0;
  }
  const float logit = target < classes ? ToFloat(logits[target]) : std::numeric_limits<float>::quiet_NaN();
  const RowSum row = SumExp(logits, classes);
  BackwardRow(logits, dlogits, target, row.largest, 1 / row.sum, dloss, classes, columns);
  return row.Loss(logit);
}

#define GPTC_LOSS(suffix, T)                                                                                           \
  RowSum SumExp##suffix(const void* x, int64_t n) { return SumExp(static_cast<const T*>(x), n); }                      \
  void BackwardRow##suffix(const void* logits, void* dlogits, int64_t target, float lse, float dloss, int64_t classes, \
                           int64_t columns) {                                                                          \
    if (target < 0) {                                                                                                  \
      std::memset(dlogits, 0, sizeof(T) * columns);                                                                    \
      return;                                                                                                          \
    }                                                                                                                  \
    BackwardRow(static_cast<const T*>(logits), static_cast<T*>(dlogits), target, lse, 1, dloss, classes, columns);     \
  }                                                                                                                    \
  float GradientRow##suffix(const void* logits, void* dlogits, int64_t target, float dloss, int64_t classes,           \
                            int64_t columns) {                                                                         \
    return GradientRow(static_cast<const T*>(logits), static_cast<T*>(dlogits), target, dloss, classes, columns);      \
  }
GPTC_LOSS(F32, float)
GPTC_LOSS(Bf16, Bf16)
#undef GPTC_LOSS

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(SumExpF32);
HWY_EXPORT(SumExpBf16);
HWY_EXPORT(BackwardRowF32);
HWY_EXPORT(BackwardRowBf16);
HWY_EXPORT(GradientRowF32);
HWY_EXPORT(GradientRowBf16);

bool IsF32(const TensorView& view) { return view.type.dtype == DType::kF32; }
bool HasKernel(const TensorView& view) { return IsF32(view) || view.type.dtype == DType::kBF16; }
// An exponential is some ten operations.
int64_t GrainOf(int64_t columns) { return GrainFor(8 * columns); }

}  // namespace

StatusOr<BoundKernel> BindCpuCrossEntropy(const KernelArgs& args) {
  const TensorView &logits = args.input(0), &targets = args.input(1), &losses = args.result(0), &lses = args.result(1);
  if (!HasKernel(logits)) return Unsupported("cross_entropy", args, "f32 and bf16 logits");
  const int64_t classes = args.attributes.Int("classes"), columns = logits.dim(-1);
  const bool f32 = IsF32(logits);
  const auto sum_exp = f32 ? HWY_DYNAMIC_DISPATCH(SumExpF32) : HWY_DYNAMIC_DISPATCH(SumExpBf16);
  return BoundKernel([=] {
    ParallelFor(targets.count(), GrainOf(columns), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const char* x = logits.as<char>() + row * columns * SizeOf(logits.type.dtype);
        const RowSum sum = sum_exp(x, classes);
        const int64_t target = targets.as<int32_t>()[row];
        float loss = 0;
        if (target >= classes) {
          loss = std::numeric_limits<float>::quiet_NaN();
        } else if (target >= 0) {
          const float logit =
              f32 ? reinterpret_cast<const float*>(x)[target] : ToFloat(reinterpret_cast<const Bf16*>(x)[target]);
          loss = sum.Loss(logit);
        }
        losses.as<float>()[row] = loss;
        lses.as<float>()[row] = sum.largest + std::log(sum.sum);
      }
    });
  });
}

StatusOr<BoundKernel> BindCpuCrossEntropyBackward(const KernelArgs& args) {
  const TensorView &logits = args.input(0), &targets = args.input(1), &lses = args.input(2), &dlosses = args.input(3);
  const TensorView& dlogits = args.result();
  if (!HasKernel(logits)) return Unsupported("cross_entropy_backward", args, "f32 and bf16 logits");
  const int64_t classes = args.attributes.Int("classes"), columns = logits.dim(-1);
  const int64_t row_bytes = columns * SizeOf(logits.type.dtype);
  const auto kernel = IsF32(logits) ? HWY_DYNAMIC_DISPATCH(BackwardRowF32) : HWY_DYNAMIC_DISPATCH(BackwardRowBf16);
  return BoundKernel([=] {
    ParallelFor(targets.count(), GrainOf(columns), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernel(logits.as<char>() + row * row_bytes, dlogits.as<char>() + row * row_bytes, targets.as<int32_t>()[row],
               lses.as<float>()[row], dlosses.as<float>()[row], classes, columns);
      }
    });
  });
}

StatusOr<BoundKernel> BindCpuCrossEntropyGradient(const KernelArgs& args) {
  const TensorView &logits = args.input(0), &targets = args.input(1), &dlosses = args.input(2);
  const TensorView &losses = args.result(0), &dlogits = args.result(1);
  if (!HasKernel(logits)) return Unsupported("cross_entropy_gradient", args, "f32 and bf16 logits");
  const int64_t classes = args.attributes.Int("classes"), columns = logits.dim(-1);
  const int64_t row_bytes = columns * SizeOf(logits.type.dtype);
  const auto kernel = IsF32(logits) ? HWY_DYNAMIC_DISPATCH(GradientRowF32) : HWY_DYNAMIC_DISPATCH(GradientRowBf16);
  return BoundKernel([=] {
    ParallelFor(targets.count(), GrainOf(2 * columns), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        losses.as<float>()[row] = kernel(logits.as<char>() + row * row_bytes, dlogits.as<char>() + row * row_bytes,
                                         targets.as<int32_t>()[row], dlosses.as<float>()[row], classes, columns);
      }
    });
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
