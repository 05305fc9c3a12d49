#include "runtime/cuda/elementwise_data.cuh"

#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

// A byte that is 0 or 1, or counts as 1.
struct Bool {
  uint8_t byte;
};

// visit(type in memory) for a dtype.
template <typename Visit>
void WithType(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::kF64:
      return visit(double{});
    case DType::kF32:
      return visit(float{});
    case DType::kBF16:
      return visit(bf16{});
    case DType::kF16:
      return visit(f16{});
    case DType::kI32:
      return visit(int32_t{});
    case DType::kU16:
      return visit(uint16_t{});
    case DType::kBool:
      return visit(Bool{});
  }
}

// The value in a type that holds all values of T.
__device__ __forceinline__ double Value(double x) { return x; }
__device__ __forceinline__ double Value(int32_t x) { return x; }
__device__ __forceinline__ float Value(float x) { return x; }
__device__ __forceinline__ float Value(bf16 x) { return ToFloat(x); }
__device__ __forceinline__ float Value(f16 x) { return ToFloat(x); }
__device__ __forceinline__ float Value(uint16_t x) { return x; }
__device__ __forceinline__ float Value(Bool x) { return x.byte != 0 ? 1.0f : 0.0f; }

// `most` and `least` bound what T holds; the first is one too many, so that it is exact in every V.
template <typename T, typename V>
__device__ __forceinline__ T Saturated(V x, V least, V most, T largest, T smallest) {
  if (x != x) return 0;
  if (x >= most) return largest;
  if (x <= least) return smallest;
  return static_cast<T>(x);
}

template <typename Y>
struct CastTo {
  template <typename X>
  __device__ __forceinline__ Y operator()(X x) const {
    const auto value = Value(x);
    using V = decltype(Value(x));
    if constexpr (std::is_same_v<Y, double>) {
      return value;
    } else if constexpr (std::is_same_v<Y, Bool>) {
      return {static_cast<uint8_t>(value != 0)};
    } else if constexpr (std::is_same_v<Y, int32_t>) {
      return Saturated<int32_t>(value, V(-2147483648.0), V(2147483648.0), int32_t{2147483647}, -2147483647 - 1);
    } else if constexpr (std::is_same_v<Y, uint16_t>) {
      return Saturated<uint16_t>(value, V(0), V(65535), uint16_t{65535}, uint16_t{0});
    } else {
      return FromFloat<Y>(static_cast<float>(value));
    }
  }
};

struct CompareOf {
  uint32_t orders;
  template <typename T>
  __device__ __forceinline__ uint8_t operator()(T x, T y) const {
    const auto a = Value(x), b = Value(y);
    return static_cast<uint8_t>(orders >> (a < b ? 0 : a == b ? 1 : a > b ? 2 : 3) & 1);
  }
};

struct SelectOf {
  template <typename T>
  __device__ __forceinline__ T operator()(uint8_t condition, T a, T b) const {
    return condition != 0 ? a : b;
  }
};

constexpr int kFillThreads = 256;
constexpr int kFillUnroll = 4;

// 16 bytes a thread and turn; the last block's threads write what is left behind `words`, byte by byte.
__global__ __launch_bounds__(kFillThreads) void FillKernel(uint4 pattern, unsigned char* y, int64_t words, int tail) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kFillThreads * kFillUnroll) + threadIdx.x;
#pragma unroll
  for (int u = 0; u < kFillUnroll; ++u) {
    const int64_t i = first + u * kFillThreads;
    if (i < words) reinterpret_cast<uint4*>(y)[i] = pattern;
  }
  if (blockIdx.x == gridDim.x - 1 && static_cast<int>(threadIdx.x) < tail) {
    const uint32_t part = threadIdx.x / 4;
    const uint32_t word = part == 0 ? pattern.x : part == 1 ? pattern.y : part == 2 ? pattern.z : pattern.w;
    y[words * 16 + threadIdx.x] = static_cast<unsigned char>(word >> threadIdx.x % 4 * 8);
  }
}

__global__ __launch_bounds__(kFillThreads) void IotaKernel(int64_t inner, int64_t size, int32_t* y, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kFillThreads + threadIdx.x;
  if (i < count) y[i] = static_cast<int32_t>(i / inner % size);
}

template <typename Bits>
void SelectBits(cudaStream_t stream, const Nest& nest, const uint8_t* condition, const void* a, const void* b,
                void* y) {
  Map(stream, SelectOf(), nest, condition, static_cast<const Bits*>(a), static_cast<const Bits*>(b),
      static_cast<Bits*>(y));
}

}  // namespace

void ApplyCompare(cudaStream_t stream, uint32_t orders, DType dtype, const Nest& nest, const void* a, const void* b,
                  uint8_t* y) {
  WithType(dtype, [&]<typename T>(T) {
    if constexpr (!std::is_same_v<T, f16>) {
      Map(stream, CompareOf{orders}, nest, static_cast<const T*>(a), static_cast<const T*>(b), y);
    }
  });
}

void ApplySelect(cudaStream_t stream, int size, const Nest& nest, const uint8_t* condition, const void* a,
                 const void* b, void* y) {
  if (size == 1) return SelectBits<uint8_t>(stream, nest, condition, a, b, y);
  if (size == 2) return SelectBits<uint16_t>(stream, nest, condition, a, b, y);
  if (size == 4) return SelectBits<uint32_t>(stream, nest, condition, a, b, y);
  SelectBits<uint64_t>(stream, nest, condition, a, b, y);
}

void ApplyCast(cudaStream_t stream, DType from, DType to, const void* x, void* y, int64_t count) {
  WithType(from, [&]<typename X>(X) {
    WithType(to, [&]<typename Y>(Y) {
      if constexpr (!std::is_same_v<X, Y>) {
        MapFlat(stream, CastTo<Y>(), static_cast<const X*>(x), static_cast<Y*>(y), count);
      }
    });
  });
}

void ApplyFill(cudaStream_t stream, uint64_t bits, int size, void* y, int64_t bytes) {
  if (bytes == 0) return;
  for (int width = size * 8; width < 64; width *= 2) bits |= bits << width;
  const auto low = static_cast<uint32_t>(bits), high = static_cast<uint32_t>(bits >> 32);
  Launch(stream, FillKernel, dim3(std::max(1u, BlocksFor(bytes / 16, kFillThreads * kFillUnroll))), dim3(kFillThreads),
         0, make_uint4(low, high, low, high), static_cast<unsigned char*>(y), bytes / 16, bytes % 16);
}

void ApplyIota(cudaStream_t stream, int64_t inner, int64_t size, int32_t* y, int64_t count) {
  Launch(stream, IotaKernel, dim3(BlocksFor(count, kFillThreads)), dim3(kFillThreads), 0, inner, size, y, count);
}

}  // namespace gptc::cuda
