#include "runtime/cuda/norm.cuh"

#include <algorithm>

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"
#include "runtime/cuda/reduction.cuh"

namespace gptc::cuda {
namespace {

constexpr int kThreads = 256;  // of the kernels for any width
constexpr int kForwardWarps = 4;
constexpr int kChunk = 256;  // elements of a row that a warp holds eight a lane
constexpr int kMostChunks = 8;

// A row in a warp: unit u of lane l is the elements U·(l + 32u) to U·(l + 32u) + U - 1, U the elements of 16 bytes of
// the row's type, so that a warp reads and writes whole cache lines.
template <typename T>
inline constexpr int kUnit = Vector<T>::kCount;

// U elements, by one access of 8 or 16 bytes or two of 16.
template <int U, typename T>
__device__ __forceinline__ void LoadUnit(const T* from, float (&values)[U]) {
  if constexpr (U == Vector<T>::kCount) {
    Unpack(LoadVector(from), values);
  } else if constexpr (sizeof(T) == 2) {
    static_assert(U == 4);
    const uint2 raw = *reinterpret_cast<const uint2*>(from);
    values[0] = BitsToFloat(raw.x << 16);
    values[1] = BitsToFloat(raw.x & 0xffff0000u);
    values[2] = BitsToFloat(raw.y << 16);
    values[3] = BitsToFloat(raw.y & 0xffff0000u);
  } else {
    static_assert(U == 8);
    const Vector<T> low = LoadVector(from), high = LoadVector(from + 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[i] = low.at[i];
      values[4 + i] = high.at[i];
    }
  }
}
template <int U, typename T>
__device__ __forceinline__ void StoreUnit(T* to, const float (&values)[U]) {
  if constexpr (U == Vector<T>::kCount) {
    StoreVector(to, Pack<T>(values));
  } else {
    static_assert(U == 4 && sizeof(T) == 2);
    *reinterpret_cast<uint2*>(to) =
        make_uint2(ptx::PackBf16(values[0], values[1]), ptx::PackBf16(values[2], values[3]));
  }
}
// Where the type is known at run time alone; the same branch for all threads.
template <int U>
__device__ __forceinline__ void LoadUnit(const NormWeight& from, int at, float (&values)[U]) {
  if (from.narrow) {
    LoadUnit(static_cast<const bf16*>(from.data) + at, values);
  } else {
    LoadUnit(static_cast<const float*>(from.data) + at, values);
  }
}
__device__ __forceinline__ float LoadOne(const NormWeight& from, int64_t at) {
  return from.narrow ? ToFloat(static_cast<const bf16*>(from.data)[at]) : static_cast<const float*>(from.data)[at];
}

// A residual that is not there.
struct None {};

template <typename X, typename Y, typename R, int kChunks>
__global__ void __launch_bounds__(kForwardWarps* kWarp) ForwardByWarp(NormForward p) {
  constexpr int U = kUnit<X>, kUnits = kChunks * kChunk / (U * kWarp);
  const int lane = threadIdx.x % kWarp, width = static_cast<int>(p.width);
  const int64_t row = blockIdx.x * int64_t{kForwardWarps} + threadIdx.x / kWarp;
  if (row >= p.rows) return;
  const int64_t begin = row * p.width;
  const float inverse = 1.0f / static_cast<float>(width);
  float x[kUnits][U];
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const int at = U * (lane + kWarp * u);
    if (at < width) {
      LoadUnit(static_cast<const X*>(p.x) + begin + at, x[u]);
    } else {
#pragma unroll
      for (float& value : x[u]) value = 0;
    }
  }
  if constexpr (!std::is_same_v<R, None>) {
    float r[kUnits][U];
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int at = U * (lane + kWarp * u);
      if (at < width) LoadUnit(static_cast<const R*>(p.residual) + begin + at, r[u]);
    }
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int at = U * (lane + kWarp * u);
      if (at >= width) continue;
#pragma unroll
      for (int i = 0; i < U; ++i) x[u][i] = ToFloat(FromFloat<X>(x[u][i] + r[u][i]));
      StoreUnit(static_cast<X*>(p.sum) + begin + at, x[u]);
    }
  }
  float mean = 0;
  if (p.mean != nullptr) {
    float total = 0;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
#pragma unroll
      for (float value : x[u]) total += value;
    }
    mean = WarpSum(total) * inverse;
  }
  float squares = 0;
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    if (U * (lane + kWarp * u) >= width) continue;
#pragma unroll
    for (float value : x[u]) squares += (value - mean) * (value - mean);
  }
  const float rstd = 1.0f / sqrtf(WarpSum(squares) * inverse + p.epsilon);
  if (lane == 0) {
    if (p.mean != nullptr) p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const int at = U * (lane + kWarp * u);
    if (at >= width) continue;
    float weight[U], bias[U] = {};
    LoadUnit(p.weight, at, weight);
    if (p.bias.data != nullptr) LoadUnit(p.bias, at, bias);
#pragma unroll
    for (int i = 0; i < U; ++i) weight[i] = (x[u][i] - mean) * rstd * weight[i] + bias[i];
    StoreUnit(static_cast<Y*>(p.y) + begin + at, weight);
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
    if (p.residual == nullptr) return own;
    return ToFloat(FromFloat<X>(own + LoadOne({p.residual, p.residual_narrow}, begin + j)));
  };
  float total = 0;
  if (p.mean != nullptr) {
    for (int64_t j = threadIdx.x; j < p.width; j += kThreads) total += element(j);
    total = BlockSum<kThreads>(total);
  }
  const float mean = total * inverse;
  float squares = 0;
  for (int64_t j = threadIdx.x; j < p.width; j += kThreads) {
    const float distance = element(j) - mean;
    squares += distance * distance;
  }
  const float rstd = 1.0f / sqrtf(BlockSum<kThreads>(squares) * inverse + p.epsilon);
  if (threadIdx.x == 0) {
    if (p.mean != nullptr) p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
  for (int64_t j = threadIdx.x; j < p.width; j += kThreads) {
    const float value = element(j);
    if (p.sum != nullptr) static_cast<X*>(p.sum)[begin + j] = FromFloat<X>(value);
    const float bias = p.bias.data != nullptr ? LoadOne(p.bias, j) : 0;
    static_cast<Y*>(p.y)[begin + j] = FromFloat<Y>((value - mean) * rstd * LoadOne(p.weight, j) + bias);
  }
}

// Blocks of the backward by warps on a multiprocessor, as its registers allow.
constexpr int ResidentBlocks(int chunks, int64_t element_bytes) { return chunks * element_bytes <= 8 ? 2 : 1; }

constexpr int kStages = 2;  // rows of a warp in shared memory: one is computed, one is on its way

// Starts copying a row of at most kMostBytes to shared memory, by the whole warp.
template <int kMostBytes>
__device__ __forceinline__ void CopyRow(unsigned char* to, const void* from, int bytes, int lane) {
#pragma unroll
  for (int i = 0; i < kMostBytes / (16 * kWarp); ++i) {
    const int at = 16 * (lane + kWarp * i);
    if (at < bytes) ptx::CopyAsync16(to + at, static_cast<const unsigned char*>(from) + at);
  }
}

// The weights in shared memory: where eight are read at once, their halves apart, so that a warp's 16-byte accesses
// fall on all banks.
template <int U>
__device__ __forceinline__ int PlaceOfWeight(int j, int width) {
  return U == 8 ? j / 4 % 2 * (width / 2) + j / 8 * 4 + j % 4 : j;
}
template <int U>
__device__ __forceinline__ void LoadWeights(const float* weights, int at, int width, float (&values)[U]) {
  const Vector<float> low = LoadVector(weights + at * 4 / U);
#pragma unroll
  for (int i = 0; i < 4; ++i) values[i] = low.at[i];
  if constexpr (U == 8) {
    const Vector<float> high = LoadVector(weights + width / 2 + at / 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) values[4 + i] = high.at[i];
  }
}

// (x - mean)·rstd, with shift = -mean·rstd. bf16's own error is larger than what a mean far from 0 costs here.
template <typename X>
__device__ __forceinline__ float Normalized(float x, float mean, float rstd, float shift) {
  return sizeof(X) == 2 ? x * rstd + shift : (x - mean) * rstd;
}

// The grid's warps take rows in turn. Shared memory: each warp's stages, a stage a row of x, one of dy and one of dsum;
// then the weights. In the end each warp's stages hold its share of dweight and dbias.
template <typename G, typename X, int kChunks>
__global__ void __launch_bounds__(8 * kWarp, ResidentBlocks(kChunks, sizeof(X))) BackwardByWarp(NormBackward p) {
  constexpr int U = kUnit<X>, kUnits = kChunks * kChunk / (U * kWarp);
  GPTC_DYNAMIC_SHARED(shared);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  const int width = static_cast<int>(p.width);
  const int x_bytes = width * static_cast<int>(sizeof(X)), dy_bytes = width * static_cast<int>(sizeof(G));
  const int stage_bytes = x_bytes + dy_bytes + (p.dsum != nullptr ? x_bytes : 0);
  unsigned char* const stages = shared + warp * kStages * stage_bytes;
  float* const weights = reinterpret_cast<float*>(shared + warps * kStages * stage_bytes);
  const float inverse = 1.0f / static_cast<float>(width);
  const int64_t step = int64_t{gridDim.x} * warps;
  int64_t row = blockIdx.x * int64_t{static_cast<unsigned>(warps)} + warp;

  float ahead_mean[kStages], ahead_rstd[kStages];
  const auto fetch = [&](int stage, int64_t from, float& mean, float& rstd) {
    mean = rstd = 0;
    if (from < p.rows) {
      unsigned char* const to = stages + stage * stage_bytes;
      const int64_t begin = from * width;
      CopyRow<kChunks * kChunk * sizeof(X)>(to, static_cast<const X*>(p.x) + begin, x_bytes, lane);
      CopyRow<kChunks * kChunk * sizeof(G)>(to + x_bytes, static_cast<const G*>(p.dy) + begin, dy_bytes, lane);
      if (p.dsum != nullptr) {
        CopyRow<kChunks * kChunk * sizeof(X)>(to + x_bytes + dy_bytes, static_cast<const X*>(p.dsum) + begin, x_bytes,
                                              lane);
      }
      if (p.mean != nullptr) mean = p.mean[from];
      rstd = p.rstd[from];
    }
    ptx::CopyCommit();  // of nothing, where there is no such row: groups are counted
  };
  fetch(0, row, ahead_mean[0], ahead_rstd[0]);
  fetch(1, row + step, ahead_mean[1], ahead_rstd[1]);
  for (int j = threadIdx.x; j < width; j += blockDim.x) weights[PlaceOfWeight<U>(j, width)] = LoadOne(p.weight, j);
  __syncthreads();

  float dweight[kUnits][U] = {}, dbias[kUnits][U] = {};
  for (int stage = 0; row < p.rows; row += step, stage ^= 1) {
    const float mean = ahead_mean[0], rstd = ahead_rstd[0], shift = -mean * rstd;
    ptx::CopyWait<kStages - 1>();
    __syncwarp();
    const X* const x = reinterpret_cast<const X*>(stages + stage * stage_bytes);
    const G* const dy = reinterpret_cast<const G*>(stages + stage * stage_bytes + x_bytes);
    const X* const dsum = reinterpret_cast<const X*>(stages + stage * stage_bytes + x_bytes + dy_bytes);
    float sum_g = 0, sum_gh = 0;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int at = U * (lane + kWarp * u);
      if (at >= width) continue;
      float h[U], g[U], weight[U];
      LoadUnit(x + at, h);
      LoadUnit(dy + at, g);
      LoadWeights(weights, at, width, weight);
#pragma unroll
      for (int i = 0; i < U; ++i) {
        h[i] = Normalized<X>(h[i], mean, rstd, shift);
        dweight[u][i] += g[i] * h[i];
        dbias[u][i] += g[i];
        g[i] *= weight[i];
        sum_g += g[i];
        sum_gh += g[i] * h[i];
      }
    }
    const float mean_g = p.mean != nullptr ? WarpSum(sum_g) * inverse : 0;
    const float mean_gh = WarpSum(sum_gh) * inverse;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int at = U * (lane + kWarp * u);
      if (at >= width) continue;
      float h[U], g[U], weight[U], sum[U] = {};
      LoadUnit(x + at, h);
      LoadUnit(dy + at, g);
      LoadWeights(weights, at, width, weight);
      if (p.dsum != nullptr) LoadUnit(dsum + at, sum);
#pragma unroll
      for (int i = 0; i < U; ++i) {
        h[i] = Normalized<X>(h[i], mean, rstd, shift);
        sum[i] += rstd * (g[i] * weight[i] - mean_g - h[i] * mean_gh);
      }
      StoreUnit(static_cast<X*>(p.dx) + row * width + at, sum);
    }
    __syncwarp();  // all lanes are done with the stage
    ahead_mean[0] = ahead_mean[1];
    ahead_rstd[0] = ahead_rstd[1];
    fetch(stage, row + kStages * step, ahead_mean[1], ahead_rstd[1]);
  }
  ptx::CopyWait<0>();
  __syncwarp();
  float* const mine = reinterpret_cast<float*>(stages);  // [2, width]
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const int at = U * (lane + kWarp * u);
    if (at >= width) continue;
#pragma unroll
    for (int i = 0; i < U; i += 4) {
      const float weight[4] = {dweight[u][i], dweight[u][i + 1], dweight[u][i + 2], dweight[u][i + 3]};
      const float bias[4] = {dbias[u][i], dbias[u][i + 1], dbias[u][i + 2], dbias[u][i + 3]};
      StoreUnit(mine + at + i, weight);
      StoreUnit(mine + width + at + i, bias);
    }
  }
  __syncthreads();
  float* const part = p.parts + blockIdx.x * 2 * p.width;
  const int warp_floats = kStages * stage_bytes / static_cast<int>(sizeof(float));
  for (int j = threadIdx.x; j < 2 * width; j += blockDim.x) {
    const float* const first = reinterpret_cast<const float*>(shared) + j;
    float sum = first[0];
    for (int other = 1; other < warps; ++other) sum += first[other * warp_floats];
    part[j] = sum;
  }
}

// A block a row at a time, element by element. A column's sums are always the same thread's.
template <typename G, typename X>
__global__ void __launch_bounds__(kThreads) BackwardByBlock(NormBackward p) {
  const float inverse = 1.0f / static_cast<float>(p.width);
  float* const part = p.parts + blockIdx.x * 2 * p.width;
  for (int half = 0; half < 2; ++half) {
    for (int64_t j = threadIdx.x; j < p.width; j += kThreads) part[half * p.width + j] = 0;
  }
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const int64_t begin = row * p.width;
    const G* dy = static_cast<const G*>(p.dy) + begin;
    const X* x = static_cast<const X*>(p.x) + begin;
    const float mean = p.mean != nullptr ? p.mean[row] : 0, rstd = p.rstd[row];
    float sum_g = 0, sum_gh = 0;
    for (int64_t j = threadIdx.x; j < p.width; j += kThreads) {
      const float v = ToFloat(dy[j]), h = (ToFloat(x[j]) - mean) * rstd;
      const float g = v * LoadOne(p.weight, j);
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
      const float g = ToFloat(dy[j]) * LoadOne(p.weight, j);
      const float dsum = p.dsum != nullptr ? ToFloat(static_cast<const X*>(p.dsum)[begin + j]) : 0;
      static_cast<X*>(p.dx)[begin + j] = FromFloat<X>(dsum + rstd * (g - mean_g - h * mean_gh));
    }
  }
}

// Chunks of a row that a warp holds; 0: the row is not for one warp.
int ChunksOf(int64_t width) {
  const int64_t chunks = (width + kChunk - 1) / kChunk;
  return width % 8 == 0 && chunks <= kMostChunks ? static_cast<int>(chunks) : 0;
}

// Calls launch(chunks as a constant) with the least of the compiled numbers that is enough.
template <int... kCompiled, typename Launcher>
void WithChunks(int chunks, Launcher launch) {
  bool done = false;
  const auto attempt = [&](auto count) {
    if (done || chunks > decltype(count)::value) return;
    done = true;
    launch(count);
  };
  (attempt(std::integral_constant<int, kCompiled>()), ...);
}

template <typename X, typename Y, typename R>
void NormalizeByWarps(cudaStream_t stream, const NormForward& p) {
  WithChunks<1, 2, 3, 4, 5, 6, 8>(ChunksOf(p.width), [&](auto count) {
    Launch(stream, ForwardByWarp<X, Y, R, decltype(count)::value>, BlocksFor(p.rows, kForwardWarps),
           kForwardWarps * kWarp, 0, p);
  });
}
template <typename X, typename Y>
void NormalizeTyped(cudaStream_t stream, const NormForward& p) {
  if (ChunksOf(p.width) == 0) {
    Launch(stream, ForwardByBlock<X, Y>, static_cast<unsigned>(p.rows), kThreads, 0, p);
  } else if (p.residual == nullptr) {
    NormalizeByWarps<X, Y, None>(stream, p);
  } else if (p.residual_narrow) {
    NormalizeByWarps<X, Y, bf16>(stream, p);
  } else if constexpr (std::is_same_v<X, float>) {
    NormalizeByWarps<X, Y, float>(stream, p);
  }
}

template <typename G, typename X>
void NormalizeBackwardTyped(cudaStream_t stream, const NormBackwardPlan& plan, const NormBackward& p) {
  if (plan.chunks == 0) {
    Launch(stream, BackwardByBlock<G, X>, static_cast<unsigned>(plan.blocks), kThreads, 0, p);
    return;
  }
  WithChunks<1, 2, 3, 4, 5, 7, 8>(plan.chunks, [&](auto count) {
    Launch(stream, BackwardByWarp<G, X, decltype(count)::value>, static_cast<unsigned>(plan.blocks), plan.warps * kWarp,
           plan.shared_bytes, p);
  });
}

}  // namespace

void Normalize(cudaStream_t stream, DType x, DType y, const NormForward& p) {
  if (x == DType::kBF16) return NormalizeTyped<bf16, bf16>(stream, p);
  if (y == DType::kBF16) return NormalizeTyped<float, bf16>(stream, p);
  NormalizeTyped<float, float>(stream, p);
}

NormBackwardPlan PlanNormBackward(DType dy, DType x, bool dsum, int64_t rows, int64_t width, size_t most_shared,
                                  int multiprocessors) {
  constexpr size_t kReserved = 1 << 10;  // of a block's shared memory, by the system
  NormBackwardPlan plan;
  const auto bytes_of = [&](int warps) {
    const int64_t stage = width * (SizeOf(dy) + SizeOf(x) * (dsum ? 2 : 1));
    return static_cast<size_t>(warps * kStages * stage + 4 * width);
  };
  int64_t resident = 2;
  plan.chunks = ChunksOf(width);
  if (plan.chunks != 0) {
    if (bytes_of(plan.warps) > most_shared) plan.warps = 4;
    plan.shared_bytes = bytes_of(plan.warps);
    if (plan.shared_bytes > most_shared) plan.chunks = 0;
    resident = ResidentBlocks(plan.chunks, SizeOf(x));
    if (2 * (plan.shared_bytes + kReserved) > most_shared + kReserved) resident = 1;
  }
  const int64_t at_once = plan.chunks == 0 ? 1 : plan.warps;
  plan.blocks = std::clamp<int64_t>((rows + at_once - 1) / at_once, 1, resident * multiprocessors);
  return plan;
}

void NormalizeBackward(cudaStream_t stream, DType dy, DType x, const NormBackwardPlan& plan, const NormBackward& p) {
  const bool narrow_dy = dy == DType::kBF16, narrow_x = x == DType::kBF16;
  if (narrow_dy && narrow_x) NormalizeBackwardTyped<bf16, bf16>(stream, plan, p);
  if (narrow_dy && !narrow_x) NormalizeBackwardTyped<bf16, float>(stream, plan, p);
  if (!narrow_dy && narrow_x) NormalizeBackwardTyped<float, bf16>(stream, plan, p);
  if (!narrow_dy && !narrow_x) NormalizeBackwardTyped<float, float>(stream, plan, p);
  AddParts(stream, p.parts, plan.blocks, 2 * p.width, p.dweight, p.dbias, p.width);
}

}  // namespace gptc::cuda
