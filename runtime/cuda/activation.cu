#include "runtime/cuda/activation.cuh"

#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

__device__ __forceinline__ float Exp(float x) { return expf(x); }
__device__ __forceinline__ double Exp(double x) { return exp(x); }
__device__ __forceinline__ float Erfc(float x) { return erfcf(x); }
__device__ __forceinline__ double Erfc(double x) { return erfc(x); }

template <typename T>
__device__ __forceinline__ T Sigmoid(T x) {
  const T e = Exp(x < 0 ? x : -x);
  return (x < 0 ? e : T(1)) / (1 + e);
}
template <typename T>
__device__ __forceinline__ T NormalCdf(T x) {
  return T(0.5) * Erfc(-x * T(0.70710678118654752440));
}

inline constexpr double kSqrt2OverPi = 0.79788456080286535588, kCubic = 0.044715;
inline constexpr double kInverseSqrt2Pi = 0.39894228040143267794;

// What is computed in T for elements of T, and in f32 for bf16.
template <typename T>
__device__ __forceinline__ T Activated(Activation activation, T x) {
  switch (activation) {
    case Activation::kGeluTanh:
      // Far left the polynomial overflows where the function is 0 long since. Of -∞ the product is NaN.
      return x < T(-20) ? x * T(0) : x * Sigmoid(x * (T(2 * kSqrt2OverPi) + T(2 * kSqrt2OverPi * kCubic) * x * x));
    case Activation::kGeluErf:
      return x < T(-40) ? x * T(0) : x * NormalCdf(x);
    case Activation::kRelu:
      return x < 0 ? T(0) : x;
    case Activation::kSigmoid:
      return Sigmoid(x);
    case Activation::kSilu:
      break;
  }
  return x < T(-800) ? x * T(0) : x * Sigmoid(x);
}

template <typename T>
__device__ __forceinline__ T GeluDerivative(bool tanh, T x) {
  if (!tanh) {
    if (x < T(-40) || x > T(40)) return x < 0 ? T(0) : T(1);
    return NormalCdf(x) + x * T(kInverseSqrt2Pi) * Exp(T(-0.5) * x * x);
  }
  if (x < T(-20) || x > T(20)) return x < 0 ? T(0) : T(1);
  const T e = Exp(-x * (T(2 * kSqrt2OverPi) + T(2 * kSqrt2OverPi * kCubic) * x * x));
  const T sigma = 1 / (1 + e);
  // σ(1 - σ) as e·σ², which does not cancel; e·σ ≤ 1 first, as e may be infinite.
  const T slope = isinf(e) ? T(0) : e * sigma * sigma;
  return sigma + x * slope * (T(2 * kSqrt2OverPi) + T(6 * kSqrt2OverPi * kCubic) * x * x);
}

// The same for bf16, whose own error (2^-9) hides that of approximate exponentials and quotients (2^-20): at full
// bandwidth a multiprocessor has some 40 instructions for an element.
__device__ __forceinline__ float QuickSigmoid(float x) {
  constexpr float kLog2E = 1.44269504088896340736f;
  return __fdividef(1.0f, 1.0f + ptx::Exp2(-kLog2E * x));
}
// x within ±10: beyond, gelu and its derivative are their limits in bf16, and no factor overflows. NaN stays.
__device__ __forceinline__ float Held(float x) { return x > 10 ? 10.0f : x < -10 ? -10.0f : x; }

template <Activation kActivation>
__device__ __forceinline__ float QuickActivated(float x) {
  if constexpr (kActivation == Activation::kGeluTanh) {
    const float held = Held(x);
    const float u = held * (float(2 * kSqrt2OverPi) + float(2 * kSqrt2OverPi * kCubic) * held * held);
    return x * (x < -10 ? 0.0f : QuickSigmoid(u));
  } else if constexpr (kActivation == Activation::kSigmoid) {
    return QuickSigmoid(x);
  } else if constexpr (kActivation == Activation::kSilu) {
    return x * QuickSigmoid(x);
  } else {
    return Activated(kActivation, x);
  }
}
template <bool kTanh>
__device__ __forceinline__ float QuickGeluDerivative(float x) {
  if constexpr (!kTanh) {
    return GeluDerivative(false, x);
  } else {
    const float held = Held(x), squared = held * held;
    const float sigma = QuickSigmoid(held * (float(2 * kSqrt2OverPi) + float(2 * kSqrt2OverPi * kCubic) * squared));
    return sigma +
           held * (sigma - sigma * sigma) * (float(2 * kSqrt2OverPi) + float(6 * kSqrt2OverPi * kCubic) * squared);
  }
}

template <Activation kActivation>
struct Forward {
  __device__ __forceinline__ float operator()(float x) const { return Activated(kActivation, x); }
  __device__ __forceinline__ double operator()(double x) const { return Activated(kActivation, x); }
  __device__ __forceinline__ bf16 operator()(bf16 x) const {
    return FromFloat<bf16>(QuickActivated<kActivation>(ToFloat(x)));
  }
};

template <bool kTanh>
struct Backward {
  __device__ __forceinline__ float operator()(float x, float dy) const { return dy * GeluDerivative(kTanh, x); }
  __device__ __forceinline__ double operator()(double x, double dy) const { return dy * GeluDerivative(kTanh, x); }
  __device__ __forceinline__ bf16 operator()(bf16 x, bf16 dy) const {
    return FromFloat<bf16>(ToFloat(dy) * QuickGeluDerivative<kTanh>(ToFloat(x)));
  }
};

template <Activation kActivation>
void Run(cudaStream_t stream, DType dtype, const void* x, void* y, int64_t count) {
  const Forward<kActivation> f;
  if (dtype == DType::kF64) {
    return MapFlat(stream, f, static_cast<const double*>(x), static_cast<double*>(y), count);
  }
  if (dtype == DType::kF32) return MapFlat(stream, f, static_cast<const float*>(x), static_cast<float*>(y), count);
  MapFlat(stream, f, static_cast<const bf16*>(x), static_cast<bf16*>(y), count);
}

template <bool kTanh, typename T>
void RunBackward(cudaStream_t stream, const void* x, const void* dy, void* dx, int64_t count) {
  Nest nest;
  nest.sizes[0] = count;
  nest.strides[0][0] = nest.strides[1][0] = 1;
  MapOperands<true>(stream, Backward<kTanh>(), nest, static_cast<const T*>(x), static_cast<const T*>(dy),
                    static_cast<const Nothing*>(nullptr), static_cast<T*>(dx));
}

}  // namespace

void Activate(cudaStream_t stream, Activation activation, DType dtype, const void* x, void* y, int64_t count) {
  switch (activation) {
    case Activation::kGeluTanh:
      return Run<Activation::kGeluTanh>(stream, dtype, x, y, count);
    case Activation::kGeluErf:
      return Run<Activation::kGeluErf>(stream, dtype, x, y, count);
    case Activation::kRelu:
      return Run<Activation::kRelu>(stream, dtype, x, y, count);
    case Activation::kSigmoid:
      return Run<Activation::kSigmoid>(stream, dtype, x, y, count);
    case Activation::kSilu:
      return Run<Activation::kSilu>(stream, dtype, x, y, count);
  }
}

void GeluBackward(cudaStream_t stream, bool tanh, DType dtype, const void* x, const void* dy, void* dx, int64_t count) {
  const auto run = [&](auto form) {
    constexpr bool kTanh = decltype(form)::value;
    if (dtype == DType::kF64) return RunBackward<kTanh, double>(stream, x, dy, dx, count);
    if (dtype == DType::kF32) return RunBackward<kTanh, float>(stream, x, dy, dx, count);
    RunBackward<kTanh, bf16>(stream, x, dy, dx, count);
  };
  if (tanh) {
    run(std::true_type());
  } else {
    run(std::false_type());
  }
}

}  // namespace gptc::cuda
