// layer_norm, rms_norm and their gradients, over rows of `width` elements.
//
//   layer_norm: h = (x - mean) · rstd,  rstd = 1 / sqrt(mean((x - mean)²) + epsilon),  y = h · weight + bias
//   rms_norm:   h = x · rstd,           rstd = 1 / sqrt(mean(x²) + epsilon),           y = h · weight
//   backward, g = dy · weight:  dx = rstd · (g - mean(g) - h · mean(g · h)), without the term mean(g) for rms_norm;
//                               dweight = sum over rows of dy · h,  dbias = sum over rows of dy
//   residual_…: sum = x + r is what is normalized; in the backward dsum is added to dx
//
// x, dy, y and weights are f32 or bf16, statistics and sums f32; dx has x's type. A row is read twice, the second time
// from L1. Column sums are made as partial sums of a fixed number of row chunks and added in order, so the bits do not
// depend on the number of threads.
#include <algorithm>
#include <cmath>

#include "runtime/cpu/convert.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/simd.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/norm.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

#ifndef GPTC_RUNTIME_CPU_NORM_ONCE_
#define GPTC_RUNTIME_CPU_NORM_ONCE_
namespace gptc {
namespace {

struct NormForward {
  const void* x;
  const void* r;  // added to x first, where not null: sum = x + r
  void* sum;
  bool narrow_r;               // r is bf16
  const float *weight, *bias;  // bias may be null
  void* y;
  float *mean, *rstd;  // mean is null for rms_norm
  int64_t width;
  float epsilon;
};

struct NormBackward {
  const void *dy, *x;
  const void* dsum;                   // added to dx, of its type; may be null
  const float *weight, *mean, *rstd;  // mean is null for rms_norm
  void* dx;
  int64_t width;
};

}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

// Calls f(vector index, elements in it) for a row; the last vector may be a part.
template <typename Whole, typename Part>
HWY_INLINE void OverRow(int64_t width, const Whole& whole, const Part& part) {
  const int64_t lanes = hn::Lanes(DF());
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) whole(i);
  if (i < width) part(i, static_cast<size_t>(width - i));
}

HWY_INLINE float Total(VF v) { return hn::GetLane(hn::SumOfLanes(DF(), v)); }

// Lanes below n of v, 0 above.
HWY_INLINE VF KeepSome(VF v, size_t n) { return hn::IfThenElseZero(hn::FirstN(DF(), n), v); }

template <typename TX, typename TR>
HWY_INLINE void AddRow(const TX* x, const TR* r, TX* sum, int64_t width) {
  OverRow(
      width, [&](int64_t j) HWY_ATTR { StoreFloats(hn::Add(LoadFloats(x + j), LoadFloats(r + j)), sum + j); },
      [&](int64_t j, size_t n) HWY_ATTR { StoreSome(hn::Add(LoadSome(x + j, n), LoadSome(r + j, n)), sum + j, n); });
}

template <typename TX, typename TY>
HWY_INLINE void ForwardRows(const NormForward& p, int64_t begin, int64_t end) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t width = p.width;
  for (int64_t row = begin; row < end; ++row) {
    const TX* x = static_cast<const TX*>(p.x) + row * width;
    TY* y = static_cast<TY*>(p.y) + row * width;
    if (p.r != nullptr) {
      TX* sum = static_cast<TX*>(p.sum) + row * width;
      if (p.narrow_r) {
        AddRow(x, static_cast<const Bf16*>(p.r) + row * width, sum, width);
      } else {
        AddRow(x, static_cast<const TX*>(p.r) + row * width, sum, width);
      }
      x = sum;
    }
    float mean = 0;
    if (p.mean != nullptr) {
      VF s0 = hn::Zero(d), s1 = s0;
      int64_t i = 0;
      for (; i + 2 * lanes <= width; i += 2 * lanes) {
        s0 = hn::Add(s0, LoadFloats(x + i));
        s1 = hn::Add(s1, LoadFloats(x + i + lanes));
      }
      for (; i < width; i += lanes)
        s0 = hn::Add(s0, i + lanes <= width ? LoadFloats(x + i) : LoadSome(x + i, width - i));
      mean = Total(hn::Add(s0, s1)) / static_cast<float>(width);
      p.mean[row] = mean;
    }
    const VF center = hn::Set(d, mean);
    VF q0 = hn::Zero(d), q1 = q0;
    int64_t i = 0;
    for (; i + 2 * lanes <= width; i += 2 * lanes) {
      const VF u = hn::Sub(LoadFloats(x + i), center), v = hn::Sub(LoadFloats(x + i + lanes), center);
      q0 = hn::MulAdd(u, u, q0);
      q1 = hn::MulAdd(v, v, q1);
    }
    for (; i < width; i += lanes) {
      const bool whole = i + lanes <= width;
      VF u = hn::Sub(whole ? LoadFloats(x + i) : LoadSome(x + i, width - i), center);
      if (!whole) u = KeepSome(u, width - i);
      q0 = hn::MulAdd(u, u, q0);
    }
    const float rstd = 1.0f / std::sqrt(Total(hn::Add(q0, q1)) / static_cast<float>(width) + p.epsilon);
    p.rstd[row] = rstd;
    const VF scale = hn::Set(d, rstd);
    if (p.bias != nullptr) {
      OverRow(
          width,
          [&](int64_t j) HWY_ATTR {
            const VF h = hn::Mul(hn::Sub(LoadFloats(x + j), center), scale);
            StoreFloats(hn::MulAdd(h, LoadFloats(p.weight + j), LoadFloats(p.bias + j)), y + j);
          },
          [&](int64_t j, size_t n) HWY_ATTR {
            const VF h = hn::Mul(hn::Sub(LoadSome(x + j, n), center), scale);
            StoreSome(hn::MulAdd(h, LoadSome(p.weight + j, n), LoadSome(p.bias + j, n)), y + j, n);
          });
    } else {
      OverRow(
          width,
          [&](int64_t j) HWY_ATTR {
            StoreFloats(hn::Mul(hn::Mul(hn::Sub(LoadFloats(x + j), center), scale), LoadFloats(p.weight + j)), y + j);
          },
          [&](int64_t j, size_t n) HWY_ATTR {
            StoreSome(hn::Mul(hn::Mul(hn::Sub(LoadSome(x + j, n), center), scale), LoadSome(p.weight + j, n)), y + j,
                      n);
          });
    }
  }
}

// Adds the rows' share of dweight and (for layer_norm) dbias to the sums. dx may be dy, x or dsum: a row is read before
// it is written.
template <typename TG, typename TX>
HWY_INLINE void BackwardRows(const NormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  const DF d;
  const int64_t width = p.width;
  const float inverse = 1.0f / static_cast<float>(width);
  for (int64_t row = begin; row < end; ++row) {
    const TG* dy = static_cast<const TG*>(p.dy) + row * width;
    const TX* x = static_cast<const TX*>(p.x) + row * width;
    TX* dx = static_cast<TX*>(p.dx) + row * width;
    const TX* dsum = p.dsum == nullptr ? nullptr : static_cast<const TX*>(p.dsum) + row * width;
    const VF center = hn::Set(d, p.mean != nullptr ? p.mean[row] : 0.0f);
    const VF scale = hn::Set(d, p.rstd[row]);
    VF sum_g = hn::Zero(d), sum_gh = hn::Zero(d);
    if (dbias != nullptr) {
      OverRow(
          width,
          [&](int64_t j) HWY_ATTR {
            const VF v = LoadFloats(dy + j);
            const VF h = hn::Mul(hn::Sub(LoadFloats(x + j), center), scale);
            const VF g = hn::Mul(v, LoadFloats(p.weight + j));
            sum_g = hn::Add(sum_g, g);
            sum_gh = hn::MulAdd(g, h, sum_gh);
            StoreFloats(hn::MulAdd(v, h, LoadFloats(dweight + j)), dweight + j);
            StoreFloats(hn::Add(v, LoadFloats(dbias + j)), dbias + j);
          },
          [&](int64_t j, size_t n) HWY_ATTR {
            const VF v = LoadSome(dy + j, n);
            const VF h = hn::Mul(hn::Sub(LoadSome(x + j, n), center), scale);
            const VF g = hn::Mul(v, LoadSome(p.weight + j, n));
            sum_g = hn::Add(sum_g, g);
            sum_gh = hn::Add(sum_gh, KeepSome(hn::Mul(g, h), n));
            StoreSome(hn::MulAdd(v, h, LoadSome(dweight + j, n)), dweight + j, n);
            StoreSome(hn::Add(v, LoadSome(dbias + j, n)), dbias + j, n);
          });
    } else {
      OverRow(
          width,
          [&](int64_t j) HWY_ATTR {
            const VF v = LoadFloats(dy + j);
            const VF h = hn::Mul(LoadFloats(x + j), scale);
            sum_gh = hn::MulAdd(hn::Mul(v, LoadFloats(p.weight + j)), h, sum_gh);
            StoreFloats(hn::MulAdd(v, h, LoadFloats(dweight + j)), dweight + j);
          },
          [&](int64_t j, size_t n) HWY_ATTR {
            const VF v = LoadSome(dy + j, n);
            const VF h = hn::Mul(LoadSome(x + j, n), scale);
            sum_gh = hn::Add(sum_gh, KeepSome(hn::Mul(hn::Mul(v, LoadSome(p.weight + j, n)), h), n));
            StoreSome(hn::MulAdd(v, h, LoadSome(dweight + j, n)), dweight + j, n);
          });
    }
    const VF mean_g = hn::Set(d, Total(sum_g) * inverse);
    const VF mean_gh = hn::Set(d, Total(sum_gh) * inverse);
    const auto gradient = [&](VF v, VF weight, VF in) HWY_ATTR {
      const VF h = hn::Mul(hn::Sub(in, center), scale);
      return hn::Mul(scale, hn::NegMulAdd(h, mean_gh, hn::Sub(hn::Mul(v, weight), mean_g)));
    };
    OverRow(
        width,
        [&](int64_t j) HWY_ATTR {
          const VF v = gradient(LoadFloats(dy + j), LoadFloats(p.weight + j), LoadFloats(x + j));
          StoreFloats(dsum == nullptr ? v : hn::Add(v, LoadFloats(dsum + j)), dx + j);
        },
        [&](int64_t j, size_t n) HWY_ATTR {
          const VF v = gradient(LoadSome(dy + j, n), LoadSome(p.weight + j, n), LoadSome(x + j, n));
          StoreSome(dsum == nullptr ? v : hn::Add(v, LoadSome(dsum + j, n)), dx + j, n);
        });
  }
}

void ForwardF32F32(const NormForward& p, int64_t begin, int64_t end) { ForwardRows<float, float>(p, begin, end); }
void ForwardF32Bf16(const NormForward& p, int64_t begin, int64_t end) { ForwardRows<float, Bf16>(p, begin, end); }
void ForwardBf16Bf16(const NormForward& p, int64_t begin, int64_t end) { ForwardRows<Bf16, Bf16>(p, begin, end); }
void BackwardF32F32(const NormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  BackwardRows<float, float>(p, begin, end, dweight, dbias);
}
void BackwardF32Bf16(const NormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  BackwardRows<float, Bf16>(p, begin, end, dweight, dbias);
}
void BackwardBf16F32(const NormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  BackwardRows<Bf16, float>(p, begin, end, dweight, dbias);
}
void BackwardBf16Bf16(const NormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  BackwardRows<Bf16, Bf16>(p, begin, end, dweight, dbias);
}

// sums[0, n) = part 0 + part 1 + ..., parts `stride` apart.
void AddParts(const float* parts, int64_t count, int64_t stride, float* sums, int64_t n) {
  OverRow(
      n,
      [&](int64_t j) HWY_ATTR {
        VF sum = LoadFloats(parts + j);
        for (int64_t i = 1; i < count; ++i) sum = hn::Add(sum, LoadFloats(parts + i * stride + j));
        StoreFloats(sum, sums + j);
      },
      [&](int64_t j, size_t some) HWY_ATTR {
        VF sum = LoadSome(parts + j, some);
        for (int64_t i = 1; i < count; ++i) sum = hn::Add(sum, LoadSome(parts + i * stride + j, some));
        StoreSome(sum, sums + j, some);
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(ForwardF32F32);
HWY_EXPORT(ForwardF32Bf16);
HWY_EXPORT(ForwardBf16Bf16);
HWY_EXPORT(BackwardF32F32);
HWY_EXPORT(BackwardF32Bf16);
HWY_EXPORT(BackwardBf16F32);
HWY_EXPORT(BackwardBf16Bf16);
HWY_EXPORT(AddParts);

bool Narrow(const TensorView& view) { return view.type.dtype == DType::kBF16; }

Status CheckTypes(const KernelArgs& args) {
  for (const TensorView& view : args.inputs) {
    if (view.type.dtype != DType::kF32 && view.type.dtype != DType::kBF16) {
      return absl::UnimplementedError(Cat("the CPU's normalizations take f32 and bf16, not ", TypeText(view.type)));
    }
  }
  return OkStatus();
}

int64_t WidthOf(const TensorView& x) { return x.dim(-1); }
int64_t RowsOf(const TensorView& x) { return WidthOf(x) == 0 ? 0 : x.count() / WidthOf(x); }

// A weight as f32, converted into scratch at every run where it is not.
struct Weight {
  TensorView view;
  size_t offset = 0;

  void Place(ScratchLayout& layout) {
    if (view.data != nullptr && Narrow(view)) offset = layout.Add(sizeof(float) * view.count());
  }
  const float* Get(char* scratch) const {
    if (view.data == nullptr || !Narrow(view)) return view.as<float>();
    float* converted = reinterpret_cast<float*>(scratch + offset);
    ConvertToFloat(view.type.dtype, view.data, converted, view.count());
    return converted;
  }
};

// `residual`: r is the second operand, and the sum the first result.
StatusOr<BoundKernel> BindForward(const KernelArgs& args, bool center, bool residual) {
  RETURN_IF_ERROR(CheckTypes(args));
  const TensorView& x = args.input(0);
  const size_t weight_at = residual ? 2 : 1, y_at = residual ? 1 : 0;
  Weight weight{args.input(weight_at)}, bias;
  if (args.has(weight_at + 1)) bias.view = args.input(weight_at + 1);
  ScratchLayout layout;
  weight.Place(layout);
  bias.Place(layout);
  args.scratch.Request(layout.bytes());
  NormForward p{x.data,
                residual ? args.input(1).data : nullptr,
                residual ? args.result(0).data : nullptr,
                residual && Narrow(args.input(1)),
                nullptr,
                nullptr,
                args.result(y_at).data,
                center ? args.result(y_at + 1).as<float>() : nullptr,
                args.result(y_at + (center ? 2 : 1)).as<float>(),
                WidthOf(x),
                static_cast<float>(args.attributes.Double("epsilon"))};
  const auto kernel = Narrow(x)                   ? HWY_DYNAMIC_DISPATCH(ForwardBf16Bf16)
                      : Narrow(args.result(y_at)) ? HWY_DYNAMIC_DISPATCH(ForwardF32Bf16)
                                                  : HWY_DYNAMIC_DISPATCH(ForwardF32F32);
  return BoundKernel([p, weight, bias, kernel, rows = RowsOf(x), pool = &args.scratch] {
    NormForward run = p;
    run.weight = weight.Get(static_cast<char*>(pool->data()));
    run.bias = bias.Get(static_cast<char*>(pool->data()));
    ParallelFor(rows, GrainFor(2 * run.width), [&](int64_t begin, int64_t end) { kernel(run, begin, end); });
  });
}

StatusOr<BoundKernel> BindBackward(const KernelArgs& args, bool center) {
  RETURN_IF_ERROR(CheckTypes(args));
  constexpr int64_t kMostChunks = 64, kLeastRows = 16;
  const TensorView &dy = args.input(0), &x = args.input(1);
  const int64_t rows = RowsOf(x), width = WidthOf(x);
  const int64_t grain = std::max(kLeastRows, (rows + kMostChunks - 1) / kMostChunks);
  const int64_t chunks = ChunkCount(rows, grain);
  // Each chunk's sums begin on a cache line of their own.
  const int64_t stride = (width + 15) / 16 * 16, part = stride * (center ? 2 : 1);
  Weight weight{args.input(2)};
  ScratchLayout layout;
  weight.Place(layout);
  const size_t parts_at = layout.Add(sizeof(float) * chunks * part);
  args.scratch.Request(layout.bytes());
  const size_t dsum = center ? 5 : 4;
  NormBackward p{dy.data,
                 x.data,
                 args.has(dsum) ? args.input(dsum).data : nullptr,
                 nullptr,
                 center ? args.input(3).as<float>() : nullptr,
                 args.input(center ? 4 : 3).as<float>(),
                 args.result(0).data,
                 width};
  const auto kernel = Narrow(dy)
                          ? (Narrow(x) ? HWY_DYNAMIC_DISPATCH(BackwardBf16Bf16) : HWY_DYNAMIC_DISPATCH(BackwardBf16F32))
                          : (Narrow(x) ? HWY_DYNAMIC_DISPATCH(BackwardF32Bf16) : HWY_DYNAMIC_DISPATCH(BackwardF32F32));
  const auto add = HWY_DYNAMIC_DISPATCH(AddParts);
  float* dweight = args.result(1).as<float>();
  float* dbias = center ? args.result(2).as<float>() : nullptr;
  return BoundKernel([=, pool = &args.scratch] {
    char* scratch = static_cast<char*>(pool->data());
    float* parts = reinterpret_cast<float*>(scratch + parts_at);
    NormBackward run = p;
    run.weight = weight.Get(scratch);
    if (chunks == 0) {
      std::fill_n(dweight, width, 0.0f);
      if (dbias != nullptr) std::fill_n(dbias, width, 0.0f);
      return;
    }
    ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
      float* mine = parts + begin / grain * part;
      std::fill_n(mine, part, 0.0f);
      kernel(run, begin, end, mine, center ? mine + stride : nullptr);
    });
    ParallelFor(width, GrainFor(chunks), [&](int64_t begin, int64_t end) {
      add(parts + begin, chunks, part, dweight + begin, end - begin);
      if (dbias != nullptr) add(parts + stride + begin, chunks, part, dbias + begin, end - begin);
    });
  });
}

}  // namespace

StatusOr<BoundKernel> BindCpuLayerNorm(const KernelArgs& args) { return BindForward(args, true, false); }
StatusOr<BoundKernel> BindCpuRmsNorm(const KernelArgs& args) { return BindForward(args, false, false); }
StatusOr<BoundKernel> BindCpuResidualLayerNorm(const KernelArgs& args) { return BindForward(args, true, true); }
StatusOr<BoundKernel> BindCpuResidualRmsNorm(const KernelArgs& args) { return BindForward(args, false, true); }
StatusOr<BoundKernel> BindCpuLayerNormBackward(const KernelArgs& args) { return BindBackward(args, true); }
StatusOr<BoundKernel> BindCpuRmsNormBackward(const KernelArgs& args) { return BindBackward(args, false); }

}  // namespace gptc
#endif  // HWY_ONCE
