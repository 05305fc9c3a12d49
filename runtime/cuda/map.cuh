// y = f(a, b, c) element by element over a Nest, for any f of one to three operands.
//
// A thread takes kMapUnroll items of E neighbouring elements, E being what fits 16 bytes of the widest type; all loads
// of a thread come before its first store, so y may lie over an operand that has its shape. Three kernels to a
// function: one axis (equal shapes, scalars; ends with less than an item), rows of whole items, and element by element
// for all other strides.
#ifndef GPTC_RUNTIME_CUDA_MAP_CUH_
#define GPTC_RUNTIME_CUDA_MAP_CUH_

#include <algorithm>

#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/nest.h"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {

// Division of numbers below 2^31 by one that the host knows (Granlund & Montgomery 1994, "Division by Invariant
// Integers using Multiplication").
struct Divisor {
  uint32_t value = 1, factor = 1, shift = 0;

  Divisor() = default;
  explicit Divisor(int64_t divisor) : value(static_cast<uint32_t>(divisor)) {
    while ((uint64_t{1} << shift) < value) ++shift;
    factor = static_cast<uint32_t>((((uint64_t{1} << shift) - value) << 32) / value + 1);
  }
  __device__ __forceinline__ uint32_t Quotient(uint32_t n) const {
    return (static_cast<uint32_t>(uint64_t{factor} * n >> 32) + n) >> shift;
  }
};

// What one launch counts: items below 2^30, so that indices have room above.
inline constexpr int64_t kMostItems = int64_t{1} << 30;

// A Nest as kernels read it.
struct DeviceNest {
  int axes = 1;
  Divisor sizes[kMaxAxes];
  int64_t strides[kMaxOperands][kMaxAxes] = {};

  DeviceNest() = default;
  // In items of `unit` elements along the innermost axis.
  DeviceNest(const Nest& nest, int unit) : axes(nest.axes) {
    for (int i = 0; i < axes; ++i) {
      sizes[i] = Divisor(std::max<int64_t>(1, i == 0 ? nest.sizes[i] / unit : nest.sizes[i]));
      for (int k = 0; k < kMaxOperands; ++k) strides[k][i] = nest.strides[k][i] * (i == 0 ? unit : 1);
    }
  }

  // Where the operands' elements of this item begin.
  template <int kOperands>
  __device__ __forceinline__ void Offsets(uint32_t item, int64_t (&offsets)[kMaxOperands]) const {
#pragma unroll
    for (int k = 0; k < kMaxOperands; ++k) offsets[k] = 0;
#pragma unroll
    for (int axis = 0; axis < kMaxAxes; ++axis) {
      if (axis == axes - 1) {
#pragma unroll
        for (int k = 0; k < kOperands; ++k) offsets[k] += item * strides[k][axis];
        break;
      }
      const uint32_t outer = sizes[axis].Quotient(item);
      const uint32_t place = item - outer * sizes[axis].value;
#pragma unroll
      for (int k = 0; k < kOperands; ++k) offsets[k] += place * strides[k][axis];
      item = outer;
    }
  }
};

// 16 bytes whose meaning does not matter.
struct alignas(16) Bits16 {
  uint64_t words[2];
};

template <int kBytes>
struct RawBytes;
template <>
struct RawBytes<1> {
  using Type = uint8_t;
};
template <>
struct RawBytes<2> {
  using Type = uint16_t;
};
template <>
struct RawBytes<4> {
  using Type = uint32_t;
};
template <>
struct RawBytes<8> {
  using Type = uint2;
};
template <>
struct RawBytes<16> {
  using Type = uint4;
};

// E neighbouring elements, read and written by one instruction.
template <typename T, int E>
struct alignas(sizeof(T) * E) Item {
  T at[E];
};
template <int E, typename T>
__device__ __forceinline__ Item<T, E> LoadItem(const T* from) {
  using Raw = typename RawBytes<sizeof(T) * E>::Type;
  const Raw raw = *reinterpret_cast<const Raw*>(from);
  Item<T, E> item;
  memcpy(&item, &raw, sizeof raw);
  return item;
}
template <int E, typename T>
__device__ __forceinline__ void StoreItem(T* to, const Item<T, E>& item) {
  using Raw = typename RawBytes<sizeof(T) * E>::Type;
  Raw raw;
  memcpy(&raw, &item, sizeof raw);
  *reinterpret_cast<Raw*>(to) = raw;
}

// An operand that is not there.
struct Nothing {};
template <int E>
struct Item<Nothing, E> {};

inline constexpr int kMapThreads = 256;
inline constexpr int kMapUnroll = 2;

template <typename A, typename B, typename C>
inline constexpr int kOperandsOf = std::is_same_v<B, Nothing>   ? 1
                                   : std::is_same_v<C, Nothing> ? 2
                                                                : 3;

// The item at `from`, or one element of it throughout.
template <int E, typename T>
__device__ __forceinline__ Item<T, E> FetchItem(const T* from, int64_t offset, bool steps) {
  if constexpr (std::is_same_v<T, Nothing>) {
    return {};
  } else {
    if (E == 1 || steps) return LoadItem<E>(from + offset);
    Item<T, E> item;
    const T element = from[offset];
#pragma unroll
    for (int e = 0; e < E; ++e) item.at[e] = element;
    return item;
  }
}

template <typename F, int E, typename A, typename B, typename C>
__device__ __forceinline__ auto Apply(const F& f, const Item<A, E>& a, const Item<B, E>& b, const Item<C, E>& c,
                                      int e) {
  if constexpr (std::is_same_v<B, Nothing>) {
    return f(a.at[e]);
  } else if constexpr (std::is_same_v<C, Nothing>) {
    return f(a.at[e], b.at[e]);
  } else {
    return f(a.at[e], b.at[e], c.at[e]);
  }
}

// `tail` elements behind the last whole item, where kFlat.
template <int E, bool kFlat, typename F, typename Y, typename A, typename B, typename C>
__global__ __launch_bounds__(kMapThreads) void MapKernel(F f, DeviceNest nest, const A* a, const B* b, const C* c, Y* y,
                                                         uint32_t items, uint32_t tail) {
  constexpr int kOperands = kOperandsOf<A, B, C>;
  const bool steps[kMaxOperands] = {nest.strides[0][0] != 0, nest.strides[1][0] != 0, nest.strides[2][0] != 0};
  const uint32_t first = blockIdx.x * (kMapThreads * kMapUnroll) + threadIdx.x;
  Item<A, E> as[kMapUnroll];
  Item<B, E> bs[kMapUnroll];
  Item<C, E> cs[kMapUnroll];
#pragma unroll
  for (int u = 0; u < kMapUnroll; ++u) {
    const uint32_t item = first + u * kMapThreads;
    if (item >= items) break;
    int64_t at[kMaxOperands];
    if constexpr (kFlat) {
#pragma unroll
      for (int k = 0; k < kMaxOperands; ++k) at[k] = steps[k] ? int64_t{item} * E : 0;
    } else {
      nest.Offsets<kOperands>(item, at);
    }
    as[u] = FetchItem<E>(a, at[0], steps[0]);
    bs[u] = FetchItem<E>(b, at[1], steps[1]);
    cs[u] = FetchItem<E>(c, at[2], steps[2]);
  }
#pragma unroll
  for (int u = 0; u < kMapUnroll; ++u) {
    const uint32_t item = first + u * kMapThreads;
    if (item >= items) break;
    Item<Y, E> out;
#pragma unroll
    for (int e = 0; e < E; ++e) out.at[e] = Apply(f, as[u], bs[u], cs[u], e);
    StoreItem<E>(y + int64_t{item} * E, out);
  }
  if constexpr (kFlat && E > 1) {
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x < tail) {
      const int64_t i = int64_t{items} * E + threadIdx.x;
      y[i] = Apply(f, FetchItem<1>(a, steps[0] ? i : 0, true), FetchItem<1>(b, steps[1] ? i : 0, true),
                   FetchItem<1>(c, steps[2] ? i : 0, true), 0);
    }
  }
}

template <typename T>
inline constexpr size_t kSizeOf = sizeof(T);
template <>
inline constexpr size_t kSizeOf<Nothing> = 1;

// How far operand k's pointer goes on.
template <typename T>
const T* Advanced(const T* pointer, int64_t elements) {
  if constexpr (std::is_same_v<T, Nothing>) {
    return pointer;
  } else {
    return pointer + elements;
  }
}

// kOneAxisOnly: no operand ever broadcasts, so the other kernels are not made.
template <bool kOneAxisOnly, typename F, typename Y, typename A, typename B, typename C>
void MapOperands(cudaStream_t stream, const F& f, const Nest& nest, const A* a, const B* b, const C* c, Y* y) {
  constexpr int E = static_cast<int>(16 / std::max({kSizeOf<Y>, kSizeOf<A>, kSizeOf<B>, kSizeOf<C>}));
  const int64_t count = nest.count(), width = nest.sizes[0];
  if (count == 0) return;
  bool flat = nest.axes == 1, rows = width % E == 0;
  for (int k = 0; k < kOperandsOf<A, B, C>; ++k) {
    const int64_t inner = nest.strides[k][0];
    if (inner == 0) continue;
    flat = flat && inner == 1;
    rows = rows && inner == 1;
    for (int i = 1; i < nest.axes; ++i) rows = rows && nest.strides[k][i] % E == 0;
  }
  const int64_t items = flat || rows ? count / E : count;
  if (items > kMostItems) {
    // In two halves along the outermost axis, at a whole item.
    const int last = nest.axes - 1;
    int64_t half = nest.sizes[last] / 2;
    if (last == 0) half = half / 16 * 16;
    Nest low = nest, high = nest;
    low.sizes[last] = half;
    high.sizes[last] -= half;
    MapOperands<kOneAxisOnly>(stream, f, low, a, b, c, y);
    MapOperands<kOneAxisOnly>(stream, f, high, Advanced(a, half * nest.strides[0][last]),
                              Advanced(b, half * nest.strides[1][last]), Advanced(c, half * nest.strides[2][last]),
                              y + half * (count / nest.sizes[last]));
    return;
  }
  const dim3 grid(std::max(1u, BlocksFor(items, kMapThreads * kMapUnroll))), block(kMapThreads);
  const uint32_t tail = flat ? static_cast<uint32_t>(count % E) : 0;
  if (flat) {
    Launch(stream, MapKernel<E, true, F, Y, A, B, C>, grid, block, 0, f, DeviceNest(nest, E), a, b, c, y, items, tail);
  } else if constexpr (!kOneAxisOnly) {
    if (rows) {
      Launch(stream, MapKernel<E, false, F, Y, A, B, C>, grid, block, 0, f, DeviceNest(nest, E), a, b, c, y, items,
             tail);
    } else {
      Launch(stream, MapKernel<1, false, F, Y, A, B, C>, grid, block, 0, f, DeviceNest(nest, 1), a, b, c, y, items,
             tail);
    }
  }
}

template <typename F, typename Y, typename A>
void Map(cudaStream_t stream, const F& f, const Nest& nest, const A* a, Y* y) {
  MapOperands<false>(stream, f, nest, a, static_cast<const Nothing*>(nullptr), static_cast<const Nothing*>(nullptr), y);
}
template <typename F, typename Y, typename A, typename B>
void Map(cudaStream_t stream, const F& f, const Nest& nest, const A* a, const B* b, Y* y) {
  MapOperands<false>(stream, f, nest, a, b, static_cast<const Nothing*>(nullptr), y);
}
template <typename F, typename Y, typename A, typename B, typename C>
void Map(cudaStream_t stream, const F& f, const Nest& nest, const A* a, const B* b, const C* c, Y* y) {
  MapOperands<false>(stream, f, nest, a, b, c, y);
}
// y[i] = f(x[i]) for i < count.
template <typename F, typename Y, typename A>
void MapFlat(cudaStream_t stream, const F& f, const A* a, Y* y, int64_t count) {
  Nest nest;
  nest.sizes[0] = count;
  nest.strides[0][0] = 1;
  MapOperands<true>(stream, f, nest, a, static_cast<const Nothing*>(nullptr), static_cast<const Nothing*>(nullptr), y);
}

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_MAP_CUH_
