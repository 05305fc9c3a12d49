#include "passes/cuda_prelude.h"

namespace gptc {

std::string_view CudaPrelude() {
  return R"(// Element types of memory; all arithmetic is f32. Tests that run this on the CPU bring their own of what C++ has no words
// for.
#ifndef GPTC_SIMT
#define GPTC_SHARED(type, name, count) __shared__ type name[count]
__device__ __forceinline__ float FloatOfBits(unsigned bits) { return __uint_as_float(bits); }
__device__ __forceinline__ unsigned PackBf16(float low, float high) {
  unsigned packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
#endif

struct bf16 {
  unsigned short bits;
};
struct flag {  // of tensors of bool
  unsigned char byte;
};

__device__ __forceinline__ float Value(float x) { return x; }
__device__ __forceinline__ float Value(bf16 x) { return FloatOfBits(static_cast<unsigned>(x.bits) << 16); }
__device__ __forceinline__ bool Value(flag x) { return x.byte != 0; }
__device__ __forceinline__ void Put(float* to, float x) { *to = x; }
__device__ __forceinline__ void Put(bf16* to, float x) { to->bits = static_cast<unsigned short>(PackBf16(x, 0)); }
__device__ __forceinline__ void Put(flag* to, bool x) { to->byte = x ? 1 : 0; }

// N neighbours, read and written in words of up to 16 bytes at multiples of their size.
template <typename T, int N>
struct Pack {
  alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) T at[N];
};
template <int N, typename T>
__device__ __forceinline__ Pack<T, N> Load(const T* from) {
  constexpr int kBytes = sizeof(T) * N;
  Pack<T, N> pack;
  if constexpr (kBytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < kBytes / 16; ++i) {
      const uint4 word = reinterpret_cast<const uint4*>(from)[i];
      memcpy(reinterpret_cast<char*>(&pack) + 16 * i, &word, 16);
    }
  } else if constexpr (kBytes == 8) {
    const uint2 word = *reinterpret_cast<const uint2*>(from);
    memcpy(&pack, &word, 8);
  } else if constexpr (kBytes == 4) {
    const unsigned word = *reinterpret_cast<const unsigned*>(from);
    memcpy(&pack, &word, 4);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) pack.at[i] = from[i];
  }
  return pack;
}
template <int N, typename T>
__device__ __forceinline__ void StorePack(T* to, const Pack<T, N>& pack) {
  constexpr int kBytes = sizeof(T) * N;
  if constexpr (kBytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < kBytes / 16; ++i) {
      uint4 word;
      memcpy(&word, reinterpret_cast<const char*>(&pack) + 16 * i, 16);
      reinterpret_cast<uint4*>(to)[i] = word;
    }
  } else if constexpr (kBytes == 8) {
    uint2 word;
    memcpy(&word, &pack, 8);
    *reinterpret_cast<uint2*>(to) = word;
  } else if constexpr (kBytes == 4) {
    unsigned word;
    memcpy(&word, &pack, 4);
    *reinterpret_cast<unsigned*>(to) = word;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = pack.at[i];
  }
}
template <int N, typename T, typename V>
__device__ __forceinline__ void Store(T* to, const V (&values)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) Put(&pack.at[i], values[i]);
  StorePack<N>(to, pack);
}
template <int N>
__device__ __forceinline__ void Store(bf16* to, const float (&values)[N]) {
  Pack<bf16, N> pack;
  if constexpr (N % 2 == 0) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const unsigned pair = PackBf16(values[2 * i], values[2 * i + 1]);
      memcpy(&pack.at[2 * i], &pair, 4);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) Put(&pack.at[i], values[i]);
  }
  StorePack<N>(to, pack);
}
// The same for the last elements of a tensor, `count` of N.
template <int N, typename T>
__device__ __forceinline__ Pack<T, N> LoadSome(const T* from, int count) {
  if (count >= N) return Load<N>(from);
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.at[i] = i < count ? from[i] : T{};
  return pack;
}
template <int N, typename T, typename V>
__device__ __forceinline__ void StoreSome(T* to, const V (&values)[N], int count) {
  if (count >= N) return Store<N>(to, values);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (i < count) Put(to + i, values[i]);
  }
}

template <typename T>
__device__ __forceinline__ T Least(T a, T b) {
  return a < b ? a : b;
}
// NaN where either is NaN.
__device__ __forceinline__ float Max(float a, float b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ float Relu(float x) { return x < 0.0f ? 0.0f : x; }
__device__ __forceinline__ float Sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }
__device__ __forceinline__ float Silu(float x) { return __fdividef(x, 1.0f + expf(-x)); }
// x/2·(1 + tanh(u)) = x·sigmoid(2u), u = sqrt(2/pi)·(x + 0.044715·x^3).
__device__ __forceinline__ float GeluTanh(float x) {
  return __fdividef(x, 1.0f + expf(x * (-1.5957691216f - 0.0713548162726f * x * x)));
}
// Beyond ±12 the derivatives are 0 and 1 to the last bit, and their terms would overflow.
__device__ __forceinline__ float Within12(float x) { return x > 12.0f ? 12.0f : x < -12.0f ? -12.0f : x; }
__device__ __forceinline__ float GeluTanhBackward(float x, float dy) {
  x = Within12(x);
  const float s = __fdividef(1.0f, 1.0f + expf(x * (-1.5957691216f - 0.0713548162726f * x * x)));
  return dy * (s + s * (1.0f - s) * x * (1.5957691216f + 0.2140644488178f * x * x));
}
__device__ __forceinline__ float GeluErf(float x) { return 0.5f * x * (1.0f + erff(0.70710678118f * x)); }
__device__ __forceinline__ float GeluErfBackward(float x, float dy) {
  x = Within12(x);
  return dy * (0.5f * (1.0f + erff(0.70710678118f * x)) + 0.39894228040f * x * expf(-0.5f * x * x));
}

// Over a group of threads: a warp, or all kGroup threads of the block. Every thread has the result, the same in every
// run.
template <int kGroup>
__device__ __forceinline__ void GroupSync() {
  if constexpr (kGroup == 32) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}
template <int kGroup>
__device__ __forceinline__ float GroupSum(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  if constexpr (kGroup > 32) {
    GPTC_SHARED(float, sums, kGroup / 32);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
    __syncthreads();
    x = sums[0];
#pragma unroll
    for (int i = 1; i < kGroup / 32; ++i) x += sums[i];
    __syncthreads();
  }
  return x;
}
template <int kGroup>
__device__ __forceinline__ float GroupMax(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = Max(x, __shfl_xor_sync(0xffffffffu, x, offset));
  if constexpr (kGroup > 32) {
    GPTC_SHARED(float, most, kGroup / 32);
    if (threadIdx.x % 32 == 0) most[threadIdx.x / 32] = x;
    __syncthreads();
    x = most[0];
#pragma unroll
    for (int i = 1; i < kGroup / 32; ++i) x = Max(x, most[i]);
    __syncthreads();
  }
  return x;
}

// Adds up, in order, what the kGroups groups of a block hold of the columns from `first` on: N of each thread, C times.
template <int kGroup, int kGroups, int N, int C>
__device__ __forceinline__ void AddGroups(const float (&sums)[C][N], unsigned first, unsigned width, float* partial) {
  constexpr unsigned kColumns = kGroup * N * C;
  const unsigned lane = threadIdx.x % kGroup;
  if constexpr (kGroups == 1) {
#pragma unroll
    for (int c = 0; c < C; ++c) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const unsigned column = first + (c * kGroup + lane) * N + k;
        if (column < width) partial[column] = sums[c][k];
      }
    }
  } else {
    GPTC_SHARED(float, all, kGroups * kColumns);
#pragma unroll
    for (int c = 0; c < C; ++c) {
#pragma unroll
      for (int k = 0; k < N; ++k) all[threadIdx.x / kGroup * kColumns + (c * kGroup + lane) * N + k] = sums[c][k];
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < kColumns && first + i < width; i += kGroup * kGroups) {
      float sum = all[i];
#pragma unroll
      for (int group = 1; group < kGroups; ++group) sum += all[group * kColumns + i];
      partial[first + i] = sum;
    }
    __syncthreads();
  }
}
// y[column] = the sum of the parts' [kParts, kWidth] columns, by blocks of 32 columns and 32 threads for each.
template <unsigned kParts, unsigned kWidth, typename T>
__device__ __forceinline__ void JoinParts(const float* partials, T* y) {
  GPTC_SHARED(float, sums, 1024);
  const unsigned column = blockIdx.x * 32 + threadIdx.x % 32;
  float sum = 0.0f;
  if (column < kWidth) {
#pragma unroll 4
    for (unsigned part = threadIdx.x / 32; part < kParts; part += 32)
      sum += partials[static_cast<size_t>(part) * kWidth + column];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= 32 || column >= kWidth) return;
#pragma unroll
  for (int i = 1; i < 32; ++i) sum += sums[i * 32 + threadIdx.x];
  Put(y + column, sum);
}
)";
}

}  // namespace gptc
