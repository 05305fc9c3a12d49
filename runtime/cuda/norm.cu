#include "runtime/cuda/norm.cuh"

#include <algorithm>

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"
#include "runtime/cuda/reduction.cuh"

namespace gptc::cuda {
namespace {

constexpr int kForwardWarps = 4, kBackwardWarps = 8;
constexpr int kThreads = 256;        // of the kernels for any width
constexpr int kEight = 8;            // neighbouring elements of a lane
constexpr int kMostChunks = 8;       // of 32·8 elements, in a row that one warp holds
constexpr int kMostInRegisters = 4;  // chunks whose weights' gradients a lane sums in registers

template <typename T>
__device__ __forceinline__ void LoadEight(const T* from, float (&values)[kEight]) {
  if constexpr (sizeof(T) == 2) {
    Unpack(LoadVector(from), values);
  } else {
    const Vector<T> low = LoadVector(from), high = LoadVector(from + 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[i] = low.at[i];
      values[4 + i] = high.at[i];
    }
  }
}
template <typename T>
__device__ __forceinline__ void StoreEight(T* to, const float (&values)[kEight]) {
  if constexpr (sizeof(T) == 2) {
    StoreVector(to, Pack<T>(values));
  } else {
    Vector<T> low, high;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      low.at[i] = values[i];
      high.at[i] = values[4 + i];
    }
    StoreVector(to, low);
    StoreVector(to + 4, high);
  }
}
// Where the type is known at run time alone; the same branch for all threads.
__device__ __forceinline__ void LoadEight(const void* from, bool narrow, int64_t at, float (&values)[kEight]) {
  if (narrow) {
    LoadEight(static_cast<const bf16*>(from) + at, values);
  } else {
    LoadEight(static_cast<const float*>(from) + at, values);
  }
}
__device__ __forceinline__ float LoadOne(const void* from, bool narrow, int64_t at) {
  return narrow ? ToFloat(static_cast<const bf16*>(from)[at]) : static_cast<const float*>(from)[at];
}

// A warp a row; lane l holds the elements 8(l + 32·chunk) to + 7.
template <typename X, typename Y, int kChunks>
__global__ void __launch_bounds__(kForwardWarps* kWarp) ForwardByWarp(NormForward p) {
  const int lane = threadIdx.x % kWarp;
  const int64_t row = blockIdx.x * int64_t{kForwardWarps} + threadIdx.x / kWarp;
  if (row >= p.rows) return;
  const int64_t begin = row * p.width;
  const float inverse = 1.0f / static_cast<float>(p.width);
  float x[kChunks][kEight];
  float total = 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int64_t at = kEight * (lane + int64_t{kWarp} * chunk);
    if (at < p.width) {
      LoadEight(static_cast<const X*>(p.x) + begin + at, x[chunk]);
    } else {
#pragma unroll
      for (float& value : x[chunk]) value = 0;
    }
  }
  if (p.residual != nullptr) {
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t at = kEight * (lane + int64_t{kWarp} * chunk);
      if (at >= p.width) continue;
      float r[kEight];
      LoadEight(p.residual, p.residual_narrow, begin + at, r);
#pragma unroll
      for (int i = 0; i < kEight; ++i) x[chunk][i] = ToFloat(FromFloat<X>(x[chunk][i] + r[i]));
    }
  }
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
    for (int i = 0; i < kEight; ++i) total += x[chunk][i];
  }
  const float mean = p.mean != nullptr ? WarpSum(total) * inverse : 0;
  float squares = 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (kEight * (lane + int64_t{kWarp} * chunk) >= p.width) continue;
#pragma unroll
    for (int i = 0; i < kEight; ++i) squares += (x[chunk][i] - mean) * (x[chunk][i] - mean);
  }
  const float rstd = 1.0f / sqrtf(WarpSum(squares) * inverse + p.epsilon);
  if (lane == 0) {
    if (p.mean != nullptr) p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int64_t at = kEight * (lane + int64_t{kWarp} * chunk);
    if (at >= p.width) continue;
    if (p.sum != nullptr) StoreEight(static_cast<X*>(p.sum) + begin + at, x[chunk]);
    float weight[kEight], bias[kEight] = {};
    LoadEight(p.weight.data, p.weight.narrow, at, weight);
    if (p.bias.data != nullptr) LoadEight(p.bias.data, p.bias.narrow, at, bias);
#pragma unroll
    for (int i = 0; i < kEight; ++i) weight[i] = (x[chunk][i] - mean) * rstd * weight[i] + bias[i];
    StoreEight(static_cast<Y*>(p.y) + begin + at, weight);
  }
}

// A block a row, element by element; the row is read again for each of the sums, by then from the caches.
template <typename X, typename Y>
__global__ void __launch_bounds__(kThreads) ForwardByBlock(NormForward p) {
  const int64_t row = blockIdx.x, begin = row * p.width;
  const float inverse = 1.0f / static_cast<float>(p.width);
  const X* x = static_cast<const X*>(p.x) + begin;
  const auto element = [&](int64_t j) {
    const float own = ToFloat(x[j]);
    return p.residual == nullptr ? own : ToFloat(FromFloat<X>(own + LoadOne(p.residual, p.residual_narrow, begin + j)));
  };
  float total = 0;
  if (p.mean != nullptr) {
    for (int64_t j = threadIdx.x; j < p.width; j += kThreads) total += element(j);
    total = BlockSum<kThreads>(total);
  }
  const float mean = total * inverse;
  float squares = 0;
  for (int64_t j = threadIdx.x; j < p.width; j += kThreads) squares += (element(j) - mean) * (element(j) - mean);
  const float rstd = 1.0f / sqrtf(BlockSum<kThreads>(squares) * inverse + p.epsilon);
  if (threadIdx.x == 0) {
    if (p.mean != nullptr) p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
  for (int64_t j = threadIdx.x; j < p.width; j += kThreads) {
    const float value = element(j);
    if (p.sum != nullptr) static_cast<X*>(p.sum)[begin + j] = FromFloat<X>(value);
    const float bias = p.bias.data != nullptr ? LoadOne(p.bias.data, p.bias.narrow, j) : 0;
    static_cast<Y*>(p.y)[begin + j] =
        FromFloat<Y>((value - mean) * rstd * LoadOne(p.weight.data, p.weight.narrow, j) + bias);
  }
}

// The grid's warps share the rows; each block leaves one row of sums for each weight. With few chunks a lane sums its
// columns in registers, with many each warp has rows of its own in shared memory.
template <typename G, typename X, int kChunks>
__global__ void __launch_bounds__(kBackwardWarps* kWarp, kChunks <= 3 ? 2 : 1) BackwardByWarp(NormBackward p) {
  constexpr bool kInRegisters = kChunks <= kMostInRegisters;
  constexpr int kColumns = kChunks * kWarp * kEight;
  GPTC_DYNAMIC_SHARED(shared);
  float* const sums = reinterpret_cast<float*>(shared);  // [warps or 1][2][kColumns]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const float inverse = 1.0f / static_cast<float>(p.width);
  float dweight[kInRegisters ? kChunks : 1][kEight] = {}, dbias[kInRegisters ? kChunks : 1][kEight] = {};
  float* const mine = sums + (kInRegisters ? 0 : warp * 2 * kColumns);
  if constexpr (!kInRegisters) {
    for (int j = lane; j < 2 * kColumns; j += kWarp) mine[j] = 0;
    __syncwarp();
  }
  for (int64_t row = blockIdx.x * int64_t{kBackwardWarps} + warp; row < p.rows;
       row += int64_t{gridDim.x} * kBackwardWarps) {
    const int64_t begin = row * p.width;
    const float mean = p.mean != nullptr ? p.mean[row] : 0, rstd = p.rstd[row];
    float h[kChunks][kEight], g[kChunks][kEight];
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t at = kEight * (lane + int64_t{kWarp} * chunk);
      if (at < p.width) {
        LoadEight(static_cast<const X*>(p.x) + begin + at, h[chunk]);
        LoadEight(static_cast<const G*>(p.dy) + begin + at, g[chunk]);
      }
    }
    float sum_g = 0, sum_gh = 0;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t at = kEight * (lane + int64_t{kWarp} * chunk);
      if (at >= p.width) continue;
      float weight[kEight];
      LoadEight(p.weight.data, p.weight.narrow, at, weight);
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        const float dy = g[chunk][i];
        h[chunk][i] = (h[chunk][i] - mean) * rstd;
        if constexpr (kInRegisters) {
          dweight[chunk][i] += dy * h[chunk][i];
          dbias[chunk][i] += dy;
        } else {
          const int column = (chunk * kEight + i) * kWarp + lane;
          mine[column] += dy * h[chunk][i];
          mine[kColumns + column] += dy;
        }
        g[chunk][i] = dy * weight[i];
        sum_g += g[chunk][i];
        sum_gh += g[chunk][i] * h[chunk][i];
      }
    }
    const float mean_g = p.mean != nullptr ? WarpSum(sum_g) * inverse : 0;
    const float mean_gh = WarpSum(sum_gh) * inverse;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t at = kEight * (lane + int64_t{kWarp} * chunk);
      if (at >= p.width) continue;
      float dsum[kEight] = {};
      if (p.dsum != nullptr) LoadEight(static_cast<const X*>(p.dsum) + begin + at, dsum);
#pragma unroll
      for (int i = 0; i < kEight; ++i) dsum[i] += rstd * (g[chunk][i] - mean_g - h[chunk][i] * mean_gh);
      StoreEight(static_cast<X*>(p.dx) + begin + at, dsum);
    }
  }
  // The warps one after another, so that the order of the sum is fixed.
  if constexpr (kInRegisters) {
    for (int turn = 0; turn < kBackwardWarps; ++turn) {
      if (turn == warp) {
#pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
          for (int i = 0; i < kEight; ++i) {
            const int column = (chunk * kEight + i) * kWarp + lane;
            sums[column] = (turn == 0 ? 0 : sums[column]) + dweight[chunk][i];
            sums[kColumns + column] = (turn == 0 ? 0 : sums[kColumns + column]) + dbias[chunk][i];
          }
        }
      }
      __syncthreads();
    }
  } else {
    __syncthreads();
  }
  float* const part = p.parts + blockIdx.x * 2 * p.width;
  for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
    const int64_t item = j / kEight, chunk = item / kWarp;
    const int64_t column = (chunk * kEight + j % kEight) * kWarp + item % kWarp;
    float weight = sums[column], bias = sums[kColumns + column];
    if constexpr (!kInRegisters) {
      for (int other = 1; other < kBackwardWarps; ++other) {
        weight += sums[other * 2 * kColumns + column];
        bias += sums[other * 2 * kColumns + kColumns + column];
      }
    }
    part[j] = weight;
    part[p.width + j] = bias;
  }
}

// A block a row at a time, element by element. A column's sums are always the same thread's.
template <typename G, typename X>
__global__ void __launch_bounds__(kThreads) BackwardByBlock(NormBackward p) {
  const float inverse = 1.0f / static_cast<float>(p.width);
  float* const part = p.parts + blockIdx.x * 2 * p.width;
  for (int64_t j = threadIdx.x; j < 2 * p.width; j += kThreads) part[j] = 0;
  __syncthreads();
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const int64_t begin = row * p.width;
    const G* dy = static_cast<const G*>(p.dy) + begin;
    const X* x = static_cast<const X*>(p.x) + begin;
    const float mean = p.mean != nullptr ? p.mean[row] : 0, rstd = p.rstd[row];
    float sum_g = 0, sum_gh = 0;
    for (int64_t j = threadIdx.x; j < p.width; j += kThreads) {
      const float v = ToFloat(dy[j]), h = (ToFloat(x[j]) - mean) * rstd;
      const float g = v * LoadOne(p.weight.data, p.weight.narrow, j);
      part[j] += v * h;
      part[p.width + j] += v;
      sum_g += g;
      sum_gh += g * h;
    }
    const float total_g = BlockSum<kThreads>(sum_g);
    const float mean_g = p.mean != nullptr ? total_g * inverse : 0;
    const float mean_gh = BlockSum<kThreads>(sum_gh) * inverse;
    for (int64_t j = threadIdx.x; j < p.width; j += kThreads) {
      const float h = (ToFloat(x[j]) - mean) * rstd;
      const float g = ToFloat(dy[j]) * LoadOne(p.weight.data, p.weight.narrow, j);
      const float dsum = p.dsum != nullptr ? ToFloat(static_cast<const X*>(p.dsum)[begin + j]) : 0;
      static_cast<X*>(p.dx)[begin + j] = FromFloat<X>(dsum + rstd * (g - mean_g - h * mean_gh));
    }
  }
}

// Chunks of a row that a warp holds; 0: the row is not for one warp.
int ChunksOf(int64_t width) {
  const int64_t chunks = (width + kWarp * kEight - 1) / (kWarp * kEight);
  return width % kEight == 0 && chunks <= kMostChunks ? static_cast<int>(chunks) : 0;
}

// Calls launch(chunks as a constant) with the least of the compiled numbers that is enough.
template <typename Launcher>
void WithChunks(int chunks, Launcher launch) {
  if (chunks <= 1) return launch(std::integral_constant<int, 1>());
  if (chunks <= 2) return launch(std::integral_constant<int, 2>());
  if (chunks <= 3) return launch(std::integral_constant<int, 3>());
  if (chunks <= 4) return launch(std::integral_constant<int, 4>());
  if (chunks <= 6) return launch(std::integral_constant<int, 6>());
  launch(std::integral_constant<int, 8>());
}

template <typename X, typename Y>
void NormalizeTyped(cudaStream_t stream, const NormForward& p) {
  const int chunks = ChunksOf(p.width);
  if (chunks == 0) {
    Launch(stream, ForwardByBlock<X, Y>, static_cast<unsigned>(p.rows), kThreads, 0, p);
    return;
  }
  WithChunks(chunks, [&](auto count) {
    Launch(stream, ForwardByWarp<X, Y, decltype(count)::value>, BlocksFor(p.rows, kForwardWarps), kForwardWarps * kWarp,
           0, p);
  });
}

template <typename G, typename X>
void NormalizeBackwardTyped(cudaStream_t stream, const NormBackward& p) {
  const int chunks = ChunksOf(p.width);
  if (chunks == 0) {
    Launch(stream, BackwardByBlock<G, X>, static_cast<unsigned>(p.blocks), kThreads, 0, p);
    return;
  }
  WithChunks(chunks, [&](auto count) {
    constexpr int kCount = decltype(count)::value;
    constexpr size_t kShared =
        sizeof(float) * 2 * kCount * kWarp * kEight * (kCount <= kMostInRegisters ? 1 : kBackwardWarps);
    Launch(stream, BackwardByWarp<G, X, kCount>, static_cast<unsigned>(p.blocks), kBackwardWarps * kWarp, kShared, p);
  });
}

}  // namespace

void Normalize(cudaStream_t stream, DType x, DType y, const NormForward& p) {
  if (x == DType::kBF16) return NormalizeTyped<bf16, bf16>(stream, p);
  if (y == DType::kBF16) return NormalizeTyped<float, bf16>(stream, p);
  NormalizeTyped<float, float>(stream, p);
}

int64_t NormBackwardBlocks(int64_t rows, int multiprocessors) {
  return std::clamp<int64_t>((rows + kBackwardWarps - 1) / kBackwardWarps, 1, 2 * multiprocessors);
}

void NormalizeBackward(cudaStream_t stream, DType dy, DType x, const NormBackward& p) {
  const bool narrow_dy = dy == DType::kBF16, narrow_x = x == DType::kBF16;
  if (narrow_dy && narrow_x) NormalizeBackwardTyped<bf16, bf16>(stream, p);
  if (narrow_dy && !narrow_x) NormalizeBackwardTyped<bf16, float>(stream, p);
  if (!narrow_dy && narrow_x) NormalizeBackwardTyped<float, bf16>(stream, p);
  if (!narrow_dy && !narrow_x) NormalizeBackwardTyped<float, float>(stream, p);
  AddParts(stream, p.parts, p.blocks, 2 * p.width, DType::kF32, p.dweight, p.width);
  if (p.dbias != nullptr) {
    AddParts(stream, p.parts + p.width, p.blocks, 2 * p.width, DType::kF32, p.dbias, p.width);
  }
}

}  // namespace gptc::cuda
