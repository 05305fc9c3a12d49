#include "runtime/cuda/elementwise.cuh"

#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

template <Binary kOp>
struct BinaryFloat {
  __device__ __forceinline__ float operator()(float a, float b) const {
    if constexpr (kOp == Binary::kAdd) return a + b;
    if constexpr (kOp == Binary::kSub) return a - b;
    if constexpr (kOp == Binary::kMul) return a * b;
    if constexpr (kOp == Binary::kDiv) return a / b;
    return a > b || a != a ? a : b;
  }
  __device__ __forceinline__ bf16 operator()(bf16 a, bf16 b) const {
    return FromFloat<bf16>((*this)(ToFloat(a), ToFloat(b)));
  }
};

// Of the types that are rare, and whose op is therefore read at run time.
struct BinaryDouble {
  Binary op;
  __device__ __forceinline__ double operator()(double a, double b) const {
    switch (op) {
      case Binary::kAdd:
        return a + b;
      case Binary::kSub:
        return a - b;
      case Binary::kMul:
        return a * b;
      case Binary::kDiv:
        return a / b;
      case Binary::kMax:
        break;
    }
    return a > b || a != a ? a : b;
  }
};
struct BinaryInt {
  Binary op;
  __device__ __forceinline__ int32_t operator()(int32_t a, int32_t b) const {
    const auto u = static_cast<uint32_t>(a), v = static_cast<uint32_t>(b);
    if (op == Binary::kAdd) return static_cast<int32_t>(u + v);
    if (op == Binary::kSub) return static_cast<int32_t>(u - v);
    if (op == Binary::kMul) return static_cast<int32_t>(u * v);
    return a > b ? a : b;
  }
};

template <Unary kOp>
struct UnaryFloat {
  __device__ __forceinline__ float operator()(float x) const {
    if constexpr (kOp == Unary::kNeg) return -x;
    if constexpr (kOp == Unary::kExp) return expf(x);
    if constexpr (kOp == Unary::kLog) return logf(x);
    if constexpr (kOp == Unary::kTanh) return tanhf(x);
    if constexpr (kOp == Unary::kErf) return erff(x);
    if constexpr (kOp == Unary::kSqrt) return sqrtf(x);
    return rsqrtf(x);
  }
  __device__ __forceinline__ bf16 operator()(bf16 x) const { return FromFloat<bf16>((*this)(ToFloat(x))); }
};
struct UnaryDouble {
  Unary op;
  __device__ __forceinline__ double operator()(double x) const {
    switch (op) {
      case Unary::kNeg:
        return -x;
      case Unary::kExp:
        return exp(x);
      case Unary::kLog:
        return log(x);
      case Unary::kTanh:
        return tanh(x);
      case Unary::kErf:
        return erf(x);
      case Unary::kSqrt:
        return sqrt(x);
      case Unary::kRsqrt:
        break;
    }
    return 1 / sqrt(x);
  }
};
struct NegInt {
  __device__ __forceinline__ int32_t operator()(int32_t x) const {
    return static_cast<int32_t>(0u - static_cast<uint32_t>(x));
  }
};

template <typename T, typename F>
void Run2(cudaStream_t stream, const F& f, const Nest& nest, const void* a, const void* b, void* y) {
  Map(stream, f, nest, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(y));
}
template <typename T, typename F>
void Run1(cudaStream_t stream, const F& f, const void* x, void* y, int64_t count) {
  MapFlat(stream, f, static_cast<const T*>(x), static_cast<T*>(y), count);
}

template <Binary kOp>
void BinaryFloats(cudaStream_t stream, DType dtype, const Nest& nest, const void* a, const void* b, void* y) {
  if (dtype == DType::kF32) return Run2<float>(stream, BinaryFloat<kOp>(), nest, a, b, y);
  Run2<bf16>(stream, BinaryFloat<kOp>(), nest, a, b, y);
}
template <Unary kOp>
void UnaryFloats(cudaStream_t stream, DType dtype, const void* x, void* y, int64_t count) {
  if (dtype == DType::kF32) return Run1<float>(stream, UnaryFloat<kOp>(), x, y, count);
  Run1<bf16>(stream, UnaryFloat<kOp>(), x, y, count);
}

}  // namespace

void ApplyBinary(cudaStream_t stream, Binary op, DType dtype, const Nest& nest, const void* a, const void* b, void* y) {
  if (dtype == DType::kF64) return Run2<double>(stream, BinaryDouble{op}, nest, a, b, y);
  if (dtype == DType::kI32) return Run2<int32_t>(stream, BinaryInt{op}, nest, a, b, y);
  switch (op) {
    case Binary::kAdd:
      return BinaryFloats<Binary::kAdd>(stream, dtype, nest, a, b, y);
    case Binary::kSub:
      return BinaryFloats<Binary::kSub>(stream, dtype, nest, a, b, y);
    case Binary::kMul:
      return BinaryFloats<Binary::kMul>(stream, dtype, nest, a, b, y);
    case Binary::kDiv:
      return BinaryFloats<Binary::kDiv>(stream, dtype, nest, a, b, y);
    case Binary::kMax:
      return BinaryFloats<Binary::kMax>(stream, dtype, nest, a, b, y);
  }
}

void ApplyUnary(cudaStream_t stream, Unary op, DType dtype, const void* x, void* y, int64_t count) {
  if (dtype == DType::kF64) return Run1<double>(stream, UnaryDouble{op}, x, y, count);
  if (dtype == DType::kI32) return Run1<int32_t>(stream, NegInt(), x, y, count);
  switch (op) {
    case Unary::kNeg:
      return UnaryFloats<Unary::kNeg>(stream, dtype, x, y, count);
    case Unary::kExp:
      return UnaryFloats<Unary::kExp>(stream, dtype, x, y, count);
    case Unary::kLog:
      return UnaryFloats<Unary::kLog>(stream, dtype, x, y, count);
    case Unary::kTanh:
      return UnaryFloats<Unary::kTanh>(stream, dtype, x, y, count);
    case Unary::kErf:
      return UnaryFloats<Unary::kErf>(stream, dtype, x, y, count);
    case Unary::kSqrt:
      return UnaryFloats<Unary::kSqrt>(stream, dtype, x, y, count);
    case Unary::kRsqrt:
      return UnaryFloats<Unary::kRsqrt>(stream, dtype, x, y, count);
  }
}

}  // namespace gptc::cuda
