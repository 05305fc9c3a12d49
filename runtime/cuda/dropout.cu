#include "runtime/cuda/dropout.cuh"

#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kItem = 8;    // elements that a thread takes at a time: two blocks of Philox
constexpr int kUnroll = 2;  // items of a thread, whose key is computed once

template <typename T>
struct Scale {
  using Type = float;
};
template <>
struct Scale<double> {
  using Type = double;
};

struct Mask {
  int64_t key;
  uint32_t threshold;
};

template <typename T>
__device__ __forceinline__ T Scaled(T x, typename Scale<T>::Type scale) {
  if constexpr (std::is_same_v<T, double>) {
    return x * scale;
  } else {
    return FromFloat<T>(ToFloat(x) * scale);
  }
}
// Items of all sequences; a sequence's last one may be short. kWhole: none is, and all lie at multiples of their size.
template <typename T, bool kWhole>
__global__ __launch_bounds__(kThreads) void DropoutKernel(const T* x, const double* __restrict__ scalars, T* y,
                                                          Divisor items_of_sequence, int64_t elements,
                                                          int64_t first_sequence, uint32_t items, Mask mask,
                                                          typename Scale<T>::Type scale) {
  constexpr int E = 16 / sizeof(T), kVectors = kItem > E ? kItem / E : 1;
  static_assert(kVectors * E == kItem);
  const auto scalar = [&](Scalar which) { return static_cast<uint64_t>(static_cast<int64_t>(scalars[which])); };
  const uint64_t step = scalar(kStep);
  const uint64_t first = scalar(kFirstSequence) + static_cast<uint64_t>(first_sequence);
  const PhiloxKey key = DropoutKey(scalar(kSeed), mask.key);
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const uint32_t item = blockIdx.x * (kThreads * kUnroll) + u * kThreads + threadIdx.x;
    if (item >= items) break;
    const uint32_t sequence = items_of_sequence.Quotient(item);
    const int64_t element = int64_t{item - sequence * items_of_sequence.value} * kItem;
    const int64_t at = sequence * elements + element;
    uint32_t words[kItem];
#pragma unroll
    for (int half = 0; half < kItem / 4; ++half) {
      const PhiloxCounter block =
          Philox4x32(DropoutCounter(static_cast<uint64_t>(element) / 4 + half, first + sequence, step), key);
#pragma unroll
      for (int i = 0; i < 4; ++i) words[half * 4 + i] = block[i];
    }
    if constexpr (kWhole) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        Item<T, E> values = LoadItem<E>(x + at + v * E);
#pragma unroll
        for (int e = 0; e < E; ++e) {
          values.at[e] = words[v * E + e] >= mask.threshold ? Scaled(values.at[e], scale) : T{};
        }
        StoreItem<E>(y + at + v * E, values);
      }
    } else {
#pragma unroll
      for (int e = 0; e < kItem; ++e) {
        if (element + e < elements) y[at + e] = words[e] >= mask.threshold ? Scaled(x[at + e], scale) : T{};
      }
    }
  }
}

template <typename T>
void Drop(cudaStream_t stream, const T* x, const double* scalars, T* y, const DropoutShape& shape, double rate,
          int64_t key) {
  const Mask mask = {key, DropoutThreshold(rate)};
  const auto scale = static_cast<typename Scale<T>::Type>(1 / (1 - rate));
  const int64_t items = (shape.elements + kItem - 1) / kItem;
  if (items == 0) return;
  const auto kernel = shape.elements % kItem == 0 ? DropoutKernel<T, true> : DropoutKernel<T, false>;
  const int64_t most = std::max<int64_t>(1, kMostItems / items);
  for (int64_t first = 0; first < shape.sequences; first += most) {
    const int64_t count = std::min(most, shape.sequences - first) * items;
    Launch(stream, kernel, dim3(BlocksFor(count, kThreads * kUnroll)), dim3(kThreads), 0, x + first * shape.elements,
           scalars, y + first * shape.elements, Divisor(items), shape.elements, first, count, mask, scale);
  }
}

}  // namespace

void Dropout(cudaStream_t stream, DType dtype, const void* x, const double* scalars, void* y, const DropoutShape& shape,
             double rate, int64_t key) {
  const auto drop = [&]<typename T>(T) {
    Drop(stream, static_cast<const T*>(x), scalars, static_cast<T*>(y), shape, rate, key);
  };
  if (dtype == DType::kF32) return drop(float{});
  if (dtype == DType::kBF16) return drop(bf16{});
  drop(double{});
}

}  // namespace gptc::cuda
