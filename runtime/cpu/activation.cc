// Activations and GELU's backward. x, y, dx, dy: one shape; f32, bf16 (computed in f32) or f64.
//
// Everything is written so that a large |x| gives the limit and a NaN gives NaN:
//   gelu, tanh form   x·σ(2u), u = √(2/π)(x + 0.044715 x³)   (Hendrycks & Gimpel 2016; 0.5(1 + tanh u) = σ(2u))
//   gelu, exact       x·Φ(x), Φ from erfc for negative x, so that the left tail does not cancel
//   silu              x / (1 + e^-x)
// Parallel over pieces of the range; reads each operand once, writes the result once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/activation.cc"
#include "runtime/cpu/activation.h"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/activation-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_ACTIVATION_ONCE
#define GPTC_RUNTIME_CPU_ACTIVATION_ONCE
#include <cmath>
#include <numbers>

#include "runtime/cpu/activation.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/unsupported.h"

#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

void ForwardF32(Activation kind, const float* x, float* y, size_t n) { ForwardRow(kind, x, y, n); }
void ForwardBf16(Activation kind, const Bf16* x, Bf16* y, size_t n) { ForwardRow(kind, x, y, n); }

void GeluBackwardF32(bool tanh, const float* x, const float* dy, float* dx, size_t n) {
  GeluBackwardRow(tanh, x, dy, dx, n);
}
void GeluBackwardBf16(bool tanh, const Bf16* x, const Bf16* dy, Bf16* dx, size_t n) {
  GeluBackwardRow(tanh, x, dy, dx, n);
}

// du = dy·gelu'(u), sums += du.
template <typename T>
HWY_INLINE void GeluBackwardSums(bool tanh, const T* u, const T* dy, T* du, float* sums, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  const auto derivative = [&](VF v) HWY_ATTR { return tanh ? GeluTanhDerivative(v) : GeluErfDerivative(v); };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreFloats(hn::Mul(LoadFloats(dy + i), derivative(LoadFloats(u + i))), du + i);
    StoreFloats(hn::Add(LoadFloats(sums + i), LoadFloats(du + i)), sums + i);
  }
  if (i < n) {
    StoreSome(hn::Mul(LoadSome(dy + i, n - i), derivative(LoadSome(u + i, n - i))), du + i, n - i);
    StoreSome(hn::Add(LoadSome(sums + i, n - i), LoadSome(du + i, n - i)), sums + i, n - i);
  }
}
void GeluBackwardSumsF32(bool tanh, const float* u, const float* dy, float* du, float* sums, size_t n) {
  GeluBackwardSums(tanh, u, dy, du, sums, n);
}
void GeluBackwardSumsBf16(bool tanh, const Bf16* u, const Bf16* dy, Bf16* du, float* sums, size_t n) {
  GeluBackwardSums(tanh, u, dy, du, sums, n);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardBf16);
HWY_EXPORT(GeluBackwardF32);
HWY_EXPORT(GeluBackwardBf16);
HWY_EXPORT(GeluBackwardSumsF32);
HWY_EXPORT(GeluBackwardSumsBf16);

// An exponential and a division cost several plain operations.
constexpr int64_t kGrain = kChunkWork / 4;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double NormalDistribution(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double TwoU(double x) { return 2 * kSqrt2OverPi * x * (1 + kCubic * x * x); }

double Apply(Activation kind, double x) {
  switch (kind) {
    case Activation::kGeluTanh:
      return x * Sigmoid(TwoU(x));
    case Activation::kGeluErf:
      return x * NormalDistribution(x);
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kSigmoid:
      return Sigmoid(x);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

double GeluDerivative(bool tanh, double x) {
  if (!tanh) return NormalDistribution(x) + x * kInverseSqrt2Pi * std::exp(-0.5 * x * x);
  if (std::abs(x) > 30) return x > 0 ? 1 : 0;
  return Sigmoid(TwoU(x)) + x * Sigmoid(TwoU(x)) * Sigmoid(-TwoU(x)) * 2 * kSqrt2OverPi * (1 + 3 * kCubic * x * x);
}

StatusOr<BoundKernel> BindForward(const KernelArgs& args, Activation kind, std::string_view name) {
  const TensorView x = args.input(0), y = args.result();
  if (x.type.dtype == y.type.dtype) {
    const auto bind = [&]<typename T>(T*, auto row) -> BoundKernel {
      return [=, in = x.as<const T>(), out = y.as<T>(), count = y.count()] {
        ParallelFor(count, kGrain, [&](int64_t begin, int64_t end) {
          row(in + begin, out + begin, static_cast<size_t>(end - begin));
        });
      };
    };
    switch (y.type.dtype) {
      case DType::kF32:
        return bind(static_cast<float*>(nullptr), [kind](auto... r) { HWY_DYNAMIC_DISPATCH(ForwardF32)(kind, r...); });
      case DType::kBF16:
        return bind(static_cast<Bf16*>(nullptr), [kind](auto... r) { HWY_DYNAMIC_DISPATCH(ForwardBf16)(kind, r...); });
      case DType::kF64:
        return bind(static_cast<double*>(nullptr), [kind](const double* in, double* out, size_t n) {
          for (size_t i = 0; i < n; ++i) out[i] = Apply(kind, in[i]);
        });
      default:
        break;
    }
  }
  return Unsupported(name, args, "f32, bf16 or f64");
}

}  // namespace

StatusOr<BoundKernel> BindCpuGelu(const KernelArgs& args) {
  return BindForward(args, args.attributes.Bool("tanh") ? Activation::kGeluTanh : Activation::kGeluErf, "gelu");
}
StatusOr<BoundKernel> BindCpuRelu(const KernelArgs& args) { return BindForward(args, Activation::kRelu, "relu"); }
StatusOr<BoundKernel> BindCpuSigmoid(const KernelArgs& args) {
  return BindForward(args, Activation::kSigmoid, "sigmoid");
}
StatusOr<BoundKernel> BindCpuSilu(const KernelArgs& args) { return BindForward(args, Activation::kSilu, "silu"); }

// dx = dy · gelu'(x)
StatusOr<BoundKernel> BindCpuGeluBackward(const KernelArgs& args) {
  const TensorView x = args.input(0), dy = args.input(1), dx = args.result();
  const bool tanh = args.attributes.Bool("tanh");
  if (x.type.dtype == dx.type.dtype && dy.type.dtype == dx.type.dtype) {
    const auto bind = [&]<typename T>(T*, auto row) -> BoundKernel {
      return [=, a = x.as<const T>(), b = dy.as<const T>(), out = dx.as<T>(), count = dx.count()] {
        ParallelFor(count, kGrain, [&](int64_t begin, int64_t end) {
          row(a + begin, b + begin, out + begin, static_cast<size_t>(end - begin));
        });
      };
    };
    switch (dx.type.dtype) {
      case DType::kF32:
        return bind(static_cast<float*>(nullptr), [tanh](auto... r) {
          HWY_DYNAMIC_DISPATCH(GeluBackwardF32)(tanh, r...);
        });
      case DType::kBF16:
        return bind(static_cast<Bf16*>(nullptr), [tanh](auto... r) {
          HWY_DYNAMIC_DISPATCH(GeluBackwardBf16)(tanh, r...);
        });
      case DType::kF64:
        return bind(static_cast<double*>(nullptr), [tanh](const double* a, const double* b, double* out, size_t n) {
          for (size_t i = 0; i < n; ++i) out[i] = b[i] * GeluDerivative(tanh, a[i]);
        });
      default:
        break;
    }
  }
  return Unsupported("gelu_backward", args, "f32, bf16 or f64");
}

void ActivationRow(Activation kind, DType dtype, const void* x, void* y, size_t n) {
  if (dtype == DType::kF32) {
    HWY_DYNAMIC_DISPATCH(ForwardF32)(kind, static_cast<const float*>(x), static_cast<float*>(y), n);
  } else {
    HWY_DYNAMIC_DISPATCH(ForwardBf16)(kind, static_cast<const Bf16*>(x), static_cast<Bf16*>(y), n);
  }
}

void GeluBackwardRow(bool tanh, DType dtype, const void* u, const void* dy, void* du, float* sums, size_t n) {
  if (dtype == DType::kF32) {
    HWY_DYNAMIC_DISPATCH(GeluBackwardSumsF32)
    (tanh, static_cast<const float*>(u), static_cast<const float*>(dy), static_cast<float*>(du), sums, n);
  } else {
    HWY_DYNAMIC_DISPATCH(GeluBackwardSumsBf16)
    (tanh, static_cast<const Bf16*>(u), static_cast<const Bf16*>(dy), static_cast<Bf16*>(du), sums, n);
  }
}

}  // namespace gptc
#endif  // HWY_ONCE
