// CUDA's header as the emulator has it: the words of device code that the kernels of runtime/cuda use, and the part of
// the runtime library that runtime/cuda/device.cc calls. Whatever is missing here does not compile; extend it.
#ifndef GPTC_TESTS_SIMT_INCLUDE_CUDA_RUNTIME_H_
#define GPTC_TESTS_SIMT_INCLUDE_CUDA_RUNTIME_H_

#include <math.h>
#include <string.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>

#include "tests/simt/simt.h"

#define __global__
#define __grid_constant__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// ---- vectors ----

#define GPTC_SIMT_VECTOR2(name, type, alignment) \
  struct alignas(alignment) name {               \
    type x, y;                                   \
  };                                             \
  inline name make_##name(type x, type y) { return {x, y}; }
#define GPTC_SIMT_VECTOR4(name, type, alignment) \
  struct alignas(alignment) name {               \
    type x, y, z, w;                             \
  };                                             \
  inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
GPTC_SIMT_VECTOR2(char2, signed char, 2)
GPTC_SIMT_VECTOR2(uchar2, unsigned char, 2)
GPTC_SIMT_VECTOR2(short2, short, 4)
GPTC_SIMT_VECTOR2(ushort2, unsigned short, 4)
GPTC_SIMT_VECTOR2(int2, int, 8)
GPTC_SIMT_VECTOR2(uint2, unsigned, 8)
GPTC_SIMT_VECTOR2(float2, float, 8)
GPTC_SIMT_VECTOR2(double2, double, 16)
GPTC_SIMT_VECTOR2(longlong2, long long, 16)
GPTC_SIMT_VECTOR2(ulonglong2, unsigned long long, 16)
GPTC_SIMT_VECTOR4(char4, signed char, 4)
GPTC_SIMT_VECTOR4(uchar4, unsigned char, 4)
GPTC_SIMT_VECTOR4(short4, short, 8)
GPTC_SIMT_VECTOR4(ushort4, unsigned short, 8)
GPTC_SIMT_VECTOR4(int4, int, 16)
GPTC_SIMT_VECTOR4(uint4, unsigned, 16)
GPTC_SIMT_VECTOR4(float4, float, 16)
#undef GPTC_SIMT_VECTOR2
#undef GPTC_SIMT_VECTOR4

// ---- barriers and warps ----

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  gptc::simt::MeetBlock("__syncthreads", false, where);
}
inline int __syncthreads_count(int vote, std::source_location where = std::source_location::current()) {
  return gptc::simt::MeetBlock("__syncthreads_count", vote != 0, where);
}
inline int __syncthreads_or(int vote, std::source_location where = std::source_location::current()) {
  return gptc::simt::MeetBlock("__syncthreads_or", vote != 0, where) != 0;
}
inline int __syncthreads_and(int vote, std::source_location where = std::source_location::current()) {
  return gptc::simt::MeetBlock("__syncthreads_and", vote == 0, where) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location where = std::source_location::current()) {
  gptc::simt::MeetWarp("__syncwarp", mask, nullptr, nullptr, where);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace gptc::simt {

// One lane's part in a shuffle or a vote.
struct Exchange {
  uint64_t value, result;
  int source;  // the lane that it reads
};
void CompleteShuffle(void* const* lanes, unsigned mask);
void CompleteBallot(void* const* lanes, unsigned mask);

template <typename T>
T Shuffle(const char* what, unsigned mask, T value, int source, const std::source_location& where) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  Exchange exchange = {0, 0, source};
  memcpy(&exchange.value, &value, sizeof value);
  MeetWarp(what, mask, &exchange, &CompleteShuffle, where);
  memcpy(&value, &exchange.result, sizeof value);
  return value;
}
inline unsigned Ballot(const char* what, unsigned mask, bool vote, const std::source_location& where) {
  Exchange exchange = {vote, 0, 0};
  MeetWarp(what, mask, &exchange, &CompleteBallot, where);
  return static_cast<unsigned>(exchange.result);
}

}  // namespace gptc::simt

// As CUDA defines them: lanes form segments of `width`; who would read beyond its segment keeps its own value.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              std::source_location where = std::source_location::current()) {
  const int begin = gptc::simt::Lane() & ~(width - 1);
  return gptc::simt::Shuffle("__shfl_sync", mask, value, begin + (source & (width - 1)), where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 std::source_location where = std::source_location::current()) {
  const int lane = gptc::simt::Lane(), begin = lane & ~(width - 1), source = lane - static_cast<int>(delta);
  return gptc::simt::Shuffle("__shfl_up_sync", mask, value, source < begin ? lane : source, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location where = std::source_location::current()) {
  const int lane = gptc::simt::Lane(), end = (lane & ~(width - 1)) + width, source = lane + static_cast<int>(delta);
  return gptc::simt::Shuffle("__shfl_down_sync", mask, value, source >= end ? lane : source, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  std::source_location where = std::source_location::current()) {
  const int lane = gptc::simt::Lane(), end = (lane & ~(width - 1)) + width, source = lane ^ lanes;
  return gptc::simt::Shuffle("__shfl_xor_sync", mask, value, source >= end ? lane : source, where);
}
inline unsigned __ballot_sync(unsigned mask, int vote, std::source_location where = std::source_location::current()) {
  return gptc::simt::Ballot("__ballot_sync", mask, vote != 0, where);
}
inline int __any_sync(unsigned mask, int vote, std::source_location where = std::source_location::current()) {
  return gptc::simt::Ballot("__any_sync", mask, vote != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int vote, std::source_location where = std::source_location::current()) {
  return gptc::simt::Ballot("__all_sync", mask, vote != 0, where) == mask;
}

// ---- memory ----

template <typename T>
T __ldg(const T* from) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(T) != 0) gptc::simt::Fail("reads an address that is not aligned");
  return *from;
}
template <typename T>
void __stcs(T* to, T value) {
  if (reinterpret_cast<uintptr_t>(to) % alignof(T) != 0) gptc::simt::Fail("writes an address that is not aligned");
  *to = value;
}
template <typename T>
T __ldcs(const T* from) {
  return __ldg(from);
}
template <typename T>
T __ldcg(const T* from) {
  return __ldg(from);
}
template <typename T>
T __ldca(const T* from) {
  return __ldg(from);
}
template <typename T>
T __ldlu(const T* from) {
  return __ldg(from);
}
template <typename T>
T __ldcv(const T* from) {
  return __ldg(from);
}
template <typename T>
void __stcg(T* to, T value) {
  __stcs(to, value);
}
template <typename T>
void __stwt(T* to, T value) {
  __stcs(to, value);
}

// Of integers alone: sums of floats would depend on the order of the threads.
template <typename T, typename Change>
T GptcSimtAtomic(T* at, Change change) {
  static_assert(std::is_integral_v<T>);
  const T old = *at;
  *at = change(old);
  return old;
}
#define GPTC_SIMT_ATOMIC(type)                                                      \
  inline type atomicAdd(type* at, type x) {                                         \
    return GptcSimtAtomic(at, [=](type y) -> type { return y + x; });               \
  }                                                                                 \
  inline type atomicMax(type* at, type x) {                                         \
    return GptcSimtAtomic(at, [=](type y) -> type { return y > x ? y : x; });       \
  }                                                                                 \
  inline type atomicMin(type* at, type x) {                                         \
    return GptcSimtAtomic(at, [=](type y) -> type { return y < x ? y : x; });       \
  }                                                                                 \
  inline type atomicOr(type* at, type x) {                                          \
    return GptcSimtAtomic(at, [=](type y) -> type { return y | x; });               \
  }                                                                                 \
  inline type atomicAnd(type* at, type x) {                                         \
    return GptcSimtAtomic(at, [=](type y) -> type { return y & x; });               \
  }                                                                                 \
  inline type atomicXor(type* at, type x) {                                         \
    return GptcSimtAtomic(at, [=](type y) -> type { return y ^ x; });               \
  }                                                                                 \
  inline type atomicExch(type* at, type x) {                                        \
    return GptcSimtAtomic(at, [=](type) -> type { return x; });                     \
  }                                                                                 \
  inline type atomicCAS(type* at, type wanted, type x) {                            \
    return GptcSimtAtomic(at, [=](type y) -> type { return y == wanted ? x : y; }); \
  }
GPTC_SIMT_ATOMIC(int)
GPTC_SIMT_ATOMIC(unsigned)
GPTC_SIMT_ATOMIC(unsigned long long)
#undef GPTC_SIMT_ATOMIC
inline unsigned atomicInc(unsigned* at, unsigned most) {
  return GptcSimtAtomic(at, [=](unsigned y) { return y >= most ? 0 : y + 1; });
}

// ---- bits ----

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(uint64_t{x} * y >> 32); }
inline int __mulhi(int x, int y) { return static_cast<int>(int64_t{x} * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64);
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i)
    result |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}

// ---- arithmetic ----

#define GPTC_SIMT_MIN_MAX(type)                             \
  inline type min(type x, type y) { return y < x ? y : x; } \
  inline type max(type x, type y) { return x < y ? y : x; }
GPTC_SIMT_MIN_MAX(int)
GPTC_SIMT_MIN_MAX(unsigned)
GPTC_SIMT_MIN_MAX(long)
GPTC_SIMT_MIN_MAX(unsigned long)
GPTC_SIMT_MIN_MAX(long long)
GPTC_SIMT_MIN_MAX(unsigned long long)
#undef GPTC_SIMT_MIN_MAX
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

inline float rsqrtf(float x) { return static_cast<float>(1 / sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float fdividef(float x, float y) { return x / y; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline float __expf(float x) { return expf(x); }
inline float __exp2f(float x) { return exp2f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
inline float sinpif(float x) { return static_cast<float>(sin(M_PI * static_cast<double>(x))); }
inline float cospif(float x) { return static_cast<float>(cos(M_PI * static_cast<double>(x))); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline unsigned __float2uint_rn(float x) { return static_cast<unsigned>(rintf(x)); }

// ---- the runtime library ----

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorECCUncorrectable = 214,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidKernelImage = 200,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorHardwareStackError = 714,
  cudaErrorLaunchFailure = 719,  // of a grid that failed: cudaGetErrorString says how
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorIllegalState = 401,
};
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem, sharedMemPerMultiprocessor, sharedMemPerBlockOptin;
  int l2CacheSize, warpSize, maxThreadsPerMultiProcessor;
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
};
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceSynchronize();

using cudaStream_t = gptc::simt::Stream*;
enum : unsigned { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);

// Memory of the device is NaN at first, that of the host is not shared with it in name only: what is copied is copied
// when the stream gets there.
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault,
};
cudaError_t cudaMalloc(void** data, size_t bytes);
template <typename T>
cudaError_t cudaMalloc(T** data, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(data), bytes);
}
cudaError_t cudaFree(void* data);
cudaError_t cudaMallocHost(void** data, size_t bytes);
cudaError_t cudaFreeHost(void* data);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemset(void* to, int byte, size_t bytes);
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream);

namespace gptc::simt {
struct Event;
struct Graph;
struct GraphExec;
}  // namespace gptc::simt
using cudaEvent_t = gptc::simt::Event*;
enum : unsigned { cudaEventDefault = 0, cudaEventDisableTiming = 2 };
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

using cudaGraph_t = gptc::simt::Graph*;
using cudaGraphExec_t = gptc::simt::GraphExec*;
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed,
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated,
};
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

#include "tests/simt/library.h"

#endif  // GPTC_TESTS_SIMT_INCLUDE_CUDA_RUNTIME_H_
