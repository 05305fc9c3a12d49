// Element types of device memory, their conversions to the f32 that all arithmetic is done in, and 16-byte accesses.
#ifndef GPTC_RUNTIME_CUDA_NUMERIC_CUH_
#define GPTC_RUNTIME_CUDA_NUMERIC_CUH_

#include <cstring>
#include <type_traits>

#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/ptx.cuh"

namespace gptc::cuda {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

__host__ __device__ inline float BitsToFloat(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

__device__ __forceinline__ float ToFloat(float x) { return x; }
__device__ __forceinline__ float ToFloat(bf16 x) { return BitsToFloat(static_cast<uint32_t>(x.bits) << 16); }
__device__ __forceinline__ float ToFloat(f16 x) { return ptx::FloatFromHalf(x.bits); }
__device__ __forceinline__ float ToFloat(double x) { return static_cast<float>(x); }
__device__ __forceinline__ float ToFloat(int32_t x) { return static_cast<float>(x); }

// Rounded to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T FromFloat(float x) {
  return static_cast<T>(x);
}
template <>
__device__ __forceinline__ bf16 FromFloat<bf16>(float x) {
  return {static_cast<uint16_t>(ptx::PackBf16(x, 0))};
}
template <>
__device__ __forceinline__ f16 FromFloat<f16>(float x) {
  return {ptx::HalfFromFloat(x)};
}

// 16 bytes of T: the unit in which device memory is read and written.
template <typename T>
struct alignas(16) Vector {
  static constexpr int kCount = 16 / sizeof(T);
  T at[kCount];
};

// `from` and `to` lie at multiples of 16 bytes.
template <typename T>
__device__ __forceinline__ Vector<T> LoadVector(const T* from) {
  Vector<T> vector;
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  memcpy(&vector, &raw, sizeof raw);
  return vector;
}
template <typename T>
__device__ __forceinline__ void StoreVector(T* to, const Vector<T>& vector) {
  uint4 raw;
  memcpy(&raw, &vector, sizeof raw);
  *reinterpret_cast<uint4*>(to) = raw;
}
// The same for memory that is read or written once and would only push other data out of the caches.
template <typename T>
__device__ __forceinline__ Vector<T> LoadVectorOnce(const T* from) {
  Vector<T> vector;
  const uint4 raw = __ldcs(reinterpret_cast<const uint4*>(from));
  memcpy(&vector, &raw, sizeof raw);
  return vector;
}
template <typename T>
__device__ __forceinline__ void StoreVectorOnce(T* to, const Vector<T>& vector) {
  uint4 raw;
  memcpy(&raw, &vector, sizeof raw);
  __stcs(reinterpret_cast<uint4*>(to), raw);
}

// Eight (f32: four) floats as a vector of T and back.
template <typename T>
__device__ __forceinline__ void Unpack(const Vector<T>& vector, float (&values)[Vector<T>::kCount]) {
  if constexpr (std::is_same_v<T, bf16>) {
    // One instruction an element: a shift or a mask of the word that holds two.
    uint32_t pairs[4];
    memcpy(pairs, &vector, sizeof pairs);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[2 * i] = BitsToFloat(pairs[i] << 16);
      values[2 * i + 1] = BitsToFloat(pairs[i] & 0xffff0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < Vector<T>::kCount; ++i) values[i] = ToFloat(vector.at[i]);
  }
}
template <typename T>
__device__ __forceinline__ Vector<T> Pack(const float (&values)[Vector<T>::kCount]) {
  Vector<T> vector;
  if constexpr (sizeof(T) == sizeof(bf16) && !std::is_same_v<T, f16>) {
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = ptx::PackBf16(values[2 * i], values[2 * i + 1]);
    memcpy(&vector, pairs, sizeof pairs);
  } else {
#pragma unroll
    for (int i = 0; i < Vector<T>::kCount; ++i) vector.at[i] = FromFloat<T>(values[i]);
  }
  return vector;
}

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_NUMERIC_CUH_
