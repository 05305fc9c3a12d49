// Softmax and the causal mask; cached_attention.cu has what works on a cache.
#include <cmath>
#include <limits>

#include "runtime/cuda/attention.cuh"
#include "runtime/cuda/block.cuh"
#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How much of a row is live.
__device__ __forceinline__ int Live(int64_t row, const SoftmaxShape& shape) {
  if (!shape.causal) return static_cast<int>(shape.columns);
  const int64_t live = row % shape.rows + shape.columns - shape.rows + 1;
  return static_cast<int>(live < 0 ? 0 : live < shape.columns ? live : shape.columns);
}

// E elements from `column` on: those that are live, the others `beyond`.
template <int E, typename T>
__device__ __forceinline__ void LoadLive(const T* row, int column, int live, float beyond, float (&values)[E]) {
  if (column >= live) {
#pragma unroll
    for (int e = 0; e < E; ++e) values[e] = beyond;
    return;
  }
  const Item<T, E> item = LoadItem<E>(row + column);
#pragma unroll
  for (int e = 0; e < E; ++e) values[e] = column + e < live ? ToFloat(item.at[e]) : beyond;
}
template <int E, typename T>
__device__ __forceinline__ void StoreFloats(T* row, int column, const float (&values)[E]) {
  Item<T, E> item;
#pragma unroll
  for (int e = 0; e < E; ++e) item.at[e] = FromFloat<T>(values[e]);
  StoreItem<E>(row + column, item);
}

// 1 / sum; 0 for a row of -inf alone.
__device__ __forceinline__ float InverseOf(float sum) { return sum == 0 ? 0.0f : 1 / sum; }
// What is subtracted from a row before its exponentials.
__device__ __forceinline__ float ShiftOf(float largest) { return largest == -kInfinity ? 0.0f : largest; }

// --- a warp a row ----------------------------------------------------------------------------------------------------

template <typename T, int E>
__global__ __launch_bounds__(kThreads) void CausalMaskKernel(const T* x, T* y, SoftmaxShape shape) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= shape.count) return;
  const int live = Live(row, shape), columns = static_cast<int>(shape.columns);
  x += row * columns;
  y += row * columns;
  // In place, what is live stays; the first item may hold some of it.
  const int first = x == y ? live / E * E : 0;
  for (int column = first + static_cast<int>(threadIdx.x % kWarp) * E; column < columns; column += kWarp * E) {
    Item<T, E> item;
    if (column < live) item = LoadItem<E>(x + column);
#pragma unroll
    for (int e = 0; e < E; ++e) {
      if (column + e >= live) item.at[e] = FromFloat<T>(-kInfinity);
    }
    StoreItem<E>(y + column, item);
  }
}

// Rows of up to 32 · kHeld columns, kHeld of them in each lane.
template <typename T, int E, int kHeld>
__global__ __launch_bounds__(kThreads) void SoftmaxWarpKernel(const T* x, T* y, SoftmaxShape shape) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= shape.count) return;
  const int live = Live(row, shape), columns = static_cast<int>(shape.columns);
  const int first = static_cast<int>(threadIdx.x % kWarp) * E;
  x += row * columns;
  y += row * columns;
  float values[kHeld / E][E];
  float largest = -kInfinity;
#pragma unroll
  for (int i = 0; i < kHeld / E; ++i) {
    LoadLive(x, first + i * kWarp * E, live, -kInfinity, values[i]);
#pragma unroll
    for (int e = 0; e < E; ++e) largest = fmaxf(largest, values[i][e]);
  }
  const float shift = ShiftOf(WarpMax(largest));
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kHeld / E; ++i) {
#pragma unroll
    for (int e = 0; e < E; ++e) {
      values[i][e] = expf(values[i][e] - shift);
      sum += values[i][e];
    }
  }
  const float inverse = InverseOf(WarpSum(sum));
#pragma unroll
  for (int i = 0; i < kHeld / E; ++i) {
    const int column = first + i * kWarp * E;
#pragma unroll
    for (int e = 0; e < E; ++e) values[i][e] *= column + e < live ? inverse : 0.0f;
    if (column < columns) StoreFloats(y, column, values[i]);
  }
}

template <typename T, int E, int kHeld>
__global__ __launch_bounds__(kThreads) void SoftmaxBackwardWarpKernel(const T* y, const T* dy, T* dx,
                                                                      SoftmaxShape shape) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= shape.count) return;
  const int live = Live(row, shape), columns = static_cast<int>(shape.columns);
  const int first = static_cast<int>(threadIdx.x % kWarp) * E;
  y += row * columns;
  dy += row * columns;
  dx += row * columns;
  float weights[kHeld / E][E], gradients[kHeld / E][E];
  float dot = 0;
#pragma unroll
  for (int i = 0; i < kHeld / E; ++i) {
    LoadLive(y, first + i * kWarp * E, live, 0.0f, weights[i]);
    LoadLive(dy, first + i * kWarp * E, live, 0.0f, gradients[i]);
#pragma unroll
    for (int e = 0; e < E; ++e) dot += weights[i][e] * gradients[i][e];
  }
  dot = WarpSum(dot);
#pragma unroll
  for (int i = 0; i < kHeld / E; ++i) {
    const int column = first + i * kWarp * E;
    if (column >= columns) break;
#pragma unroll
    for (int e = 0; e < E; ++e) {
      weights[i][e] = column + e < live ? weights[i][e] * (gradients[i][e] - dot) : 0.0f;
    }
    StoreFloats(dx, column, weights[i]);
  }
}

// --- a block a row ---------------------------------------------------------------------------------------------------

template <typename T, int E>
__global__ __launch_bounds__(kThreads) void SoftmaxBlockKernel(const T* x, T* y, SoftmaxShape shape) {
  const int64_t row = blockIdx.x;
  const int live = Live(row, shape), columns = static_cast<int>(shape.columns);
  x += row * columns;
  y += row * columns;
  // The thread's largest so far and the sum of exponentials less it.
  float largest = -kInfinity, sum = 0;
  for (int column = threadIdx.x * E; column < live; column += kThreads * E) {
    float values[E];
    LoadLive(x, column, live, -kInfinity, values);
    float top = largest;
#pragma unroll
    for (int e = 0; e < E; ++e) top = fmaxf(top, values[e]);
    const float shift = ShiftOf(top);
    sum *= expf(largest - shift);
#pragma unroll
    for (int e = 0; e < E; ++e) sum += expf(values[e] - shift);
    largest = top;
  }
  const float shift = ShiftOf(BlockMax<kThreads>(largest));
  const float inverse = InverseOf(BlockSum<kThreads>(sum * expf(largest - shift)));
  for (int column = threadIdx.x * E; column < columns; column += kThreads * E) {
    float values[E];
    LoadLive(x, column, live, -kInfinity, values);
#pragma unroll
    for (int e = 0; e < E; ++e) values[e] = column + e < live ? expf(values[e] - shift) * inverse : 0.0f;
    StoreFloats(y, column, values);
  }
}

template <typename T, int E>
__global__ __launch_bounds__(kThreads) void SoftmaxBackwardBlockKernel(const T* y, const T* dy, T* dx,
                                                                       SoftmaxShape shape) {
  const int64_t row = blockIdx.x;
  const int live = Live(row, shape), columns = static_cast<int>(shape.columns);
  y += row * columns;
  dy += row * columns;
  dx += row * columns;
  float dot = 0;
  for (int column = threadIdx.x * E; column < live; column += kThreads * E) {
    float weights[E], gradients[E];
    LoadLive(y, column, live, 0.0f, weights);
    LoadLive(dy, column, live, 0.0f, gradients);
#pragma unroll
    for (int e = 0; e < E; ++e) dot += weights[e] * gradients[e];
  }
  dot = BlockSum<kThreads>(dot);
  for (int column = threadIdx.x * E; column < columns; column += kThreads * E) {
    float weights[E], gradients[E];
    LoadLive(y, column, live, 0.0f, weights);
    LoadLive(dy, column, live, 0.0f, gradients);
#pragma unroll
    for (int e = 0; e < E; ++e) weights[e] = column + e < live ? weights[e] * (gradients[e] - dot) : 0.0f;
    StoreFloats(dx, column, weights);
  }
}

constexpr int kShort = 8, kLong = 32;  // columns that a lane holds

// E: elements of an item.
template <typename T, int E>
void SoftmaxRows(cudaStream_t stream, const T* x, T* y, const SoftmaxShape& shape) {
  const dim3 rows(BlocksFor(shape.count, kWarps));
  if (shape.columns <= kShort * kWarp) {
    Launch(stream, SoftmaxWarpKernel<T, E, kShort>, rows, dim3(kThreads), 0, x, y, shape);
  } else if (shape.columns <= kLong * kWarp) {
    Launch(stream, SoftmaxWarpKernel<T, E, kLong>, rows, dim3(kThreads), 0, x, y, shape);
  } else {
    Launch(stream, SoftmaxBlockKernel<T, E>, dim3(shape.count), dim3(kThreads), 0, x, y, shape);
  }
}
template <typename T, int E>
void SoftmaxBackwardRows(cudaStream_t stream, const T* y, const T* dy, T* dx, const SoftmaxShape& shape) {
  const dim3 rows(BlocksFor(shape.count, kWarps));
  if (shape.columns <= kShort * kWarp) {
    Launch(stream, SoftmaxBackwardWarpKernel<T, E, kShort>, rows, dim3(kThreads), 0, y, dy, dx, shape);
  } else if (shape.columns <= kLong * kWarp) {
    Launch(stream, SoftmaxBackwardWarpKernel<T, E, kLong>, rows, dim3(kThreads), 0, y, dy, dx, shape);
  } else {
    Launch(stream, SoftmaxBackwardBlockKernel<T, E>, dim3(shape.count), dim3(kThreads), 0, y, dy, dx, shape);
  }
}

template <typename T>
constexpr int kItem = Vector<T>::kCount;

}  // namespace

template <typename T>
void CausalMask(cudaStream_t stream, const T* x, T* y, const SoftmaxShape& shape) {
  const auto kernel = shape.columns % kItem<T> == 0 ? CausalMaskKernel<T, kItem<T>> : CausalMaskKernel<T, 1>;
  Launch(stream, kernel, dim3(BlocksFor(shape.count, kWarps)), dim3(kThreads), 0, x, y, shape);
}
template <typename T>
void Softmax(cudaStream_t stream, const T* x, T* y, const SoftmaxShape& shape) {
  if (shape.columns % kItem<T> == 0) return SoftmaxRows<T, kItem<T>>(stream, x, y, shape);
  SoftmaxRows<T, 1>(stream, x, y, shape);
}
template <typename T>
void SoftmaxBackward(cudaStream_t stream, const T* y, const T* dy, T* dx, const SoftmaxShape& shape) {
  if (shape.columns % kItem<T> == 0) return SoftmaxBackwardRows<T, kItem<T>>(stream, y, dy, dx, shape);
  SoftmaxBackwardRows<T, 1>(stream, y, dy, dx, shape);
}

template void CausalMask(cudaStream_t, const float*, float*, const SoftmaxShape&);
template void CausalMask(cudaStream_t, const bf16*, bf16*, const SoftmaxShape&);
template void Softmax(cudaStream_t, const float*, float*, const SoftmaxShape&);
template void Softmax(cudaStream_t, const bf16*, bf16*, const SoftmaxShape&);
template void SoftmaxBackward(cudaStream_t, const float*, const float*, float*, const SoftmaxShape&);
template void SoftmaxBackward(cudaStream_t, const bf16*, const bf16*, bf16*, const SoftmaxShape&);

}  // namespace gptc::cuda
