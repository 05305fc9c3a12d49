// The ops on a cache of keys and values; attention.cuh has the contract.
#include <limits>

#include "runtime/cuda/attention.cuh"
#include "runtime/cuda/block.cuh"
#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// --- cache_update ----------------------------------------------------------------------------------------------------

constexpr int kUpdateThreads = 256;

struct UpdateShape {
  int64_t batch, tokens, slots, context;
  Divisor row;     // units of a row
  uint32_t count;  // units of x
};

template <typename Unit>
__global__ __launch_bounds__(kUpdateThreads) void CacheUpdateKernel(const Unit* __restrict__ x,
                                                                    const int32_t* __restrict__ positions,
                                                                    const int32_t* __restrict__ slots, Unit* y,
                                                                    UpdateShape shape) {
  const uint32_t i = blockIdx.x * kUpdateThreads + threadIdx.x;
  if (i >= shape.count) return;
  const uint32_t row = shape.row.Quotient(i), unit = i - row * shape.row.value;
  const int64_t b = row / shape.tokens;
  const int64_t slot = slots[b], position = positions[b] + (row - b * shape.tokens);
  if (slot < 0 || slot >= shape.slots || position < 0 || position >= shape.context) return;
  // Two sequences may name one slot: the later one's row stays.
  for (int64_t later = b + 1; later < shape.batch; ++later) {
    const int64_t t = position - positions[later];
    if (slots[later] == slot && t >= 0 && t < shape.tokens) return;
  }
  y[(slot * shape.context + position) * shape.row.value + unit] = x[i];
}

template <typename Unit>
void Update(cudaStream_t stream, const void* x, const int32_t* positions, const int32_t* slots, void* y,
            const CacheShape& shape) {
  const int64_t units = shape.row_bytes / static_cast<int64_t>(sizeof(Unit));
  const int64_t count = shape.batch * shape.tokens * units;
  const UpdateShape own = {shape.batch,   shape.tokens,   shape.slots,
                           shape.context, Divisor(units), static_cast<uint32_t>(count)};
  Launch(stream, CacheUpdateKernel<Unit>, dim3(BlocksFor(count, kUpdateThreads)), dim3(kUpdateThreads), 0,
         static_cast<const Unit*>(x), positions, slots, static_cast<Unit*>(y), own);
}

// --- cached_attention ------------------------------------------------------------------------------------------------

// q: read in units of E elements, kPieces to a lane; kRows queries to a block. Warps and keys in flight follow.
template <typename T, int E, int kPieces, int kRows>
struct Attend {
  static constexpr int kWarps = kRows == 1 ? 16 : 8;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kHeld = E * kPieces;  // elements of a head in a lane
  static constexpr int kKeyRegisters = kPieces * (E * static_cast<int>(sizeof(T)) + 3) / 4 * 2;  // with its value
  static constexpr int kKeys = (kRows == 1 ? 64 : 16) / kKeyRegisters > 0 ? (kRows == 1 ? 64 : 16) / kKeyRegisters : 1;
};

// What a stream has of one query: the largest score, in units of log 2, the sum of exponentials less it, and the values
// weighted by them.
template <int kHeld>
struct Running {
  float largest = -kInfinity, sum = 0;
  float values[kHeld] = {};
};

__device__ __forceinline__ float ShiftOf(float largest) { return largest == -kInfinity ? 0.0f : largest; }

// The elements of this lane: E from (i · lanes + lane) · E on, for i < kPieces.
template <int E, int kPieces, typename T>
__device__ __forceinline__ void LoadHead(const T* head, int lane, int lanes, int size, bool there,
                                         Item<T, E> (&pieces)[kPieces]) {
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    const int at = (i * lanes + lane) * E;
    if (there && at < size) {
      pieces[i] = LoadItem<E>(head + at);
    } else {
      pieces[i] = {};
    }
  }
}

// A block takes queries first .. first + kRows of one head of one sequence, and split `blockIdx.x % splits` of the
// keys. `lanes`, a power of two, share a key; parts: null, or [batch, tokens, heads, splits, head_size + 2] for the
// values, the largest score and the sum of each split.
template <typename T, int E, int kPieces, int kRows>
__global__ __launch_bounds__(Attend<T, E, kPieces, kRows>::kThreads) void CachedAttentionKernel(
    const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const int32_t* __restrict__ positions,
    const int32_t* __restrict__ slots, T* __restrict__ y, float* __restrict__ parts, CachedAttentionShape shape,
    int lanes, int splits) {
  using Plan = Attend<T, E, kPieces, kRows>;
  constexpr int kHeld = Plan::kHeld, kKeys = Plan::kKeys;
  GPTC_DYNAMIC_SHARED(shared);
  float* const merged = reinterpret_cast<float*>(shared);  // [warps, kRows, size + 2]
  const int size = static_cast<int>(shape.head_size), width = static_cast<int>(shape.heads) * size;
  const int split = blockIdx.x % splits;
  const int tile = blockIdx.x / splits / static_cast<int>(shape.heads);
  const int head = blockIdx.x / splits % static_cast<int>(shape.heads);
  const int tiles = static_cast<int>((shape.tokens + kRows - 1) / kRows);
  const int b = tile / tiles, first = tile % tiles * kRows;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % lanes, group = threadIdx.x % kWarp / lanes;
  const int streams = Plan::kWarps * (kWarp / lanes), stream = warp * (kWarp / lanes) + group;

  // Keys that each query sees; the last one sees most.
  const int64_t slot = slots[b];
  const bool there = slot >= 0 && slot < shape.slots;
  const int64_t position = positions[b];
  const auto seen = [&](int r) {
    const int64_t count = there && first + r < shape.tokens ? position + first + r + 1 : 0;
    return static_cast<int>(count < 0 ? 0 : count < shape.context ? count : shape.context);
  };
  int counts[kRows], most = 0;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    counts[r] = seen(r);
    most = counts[r] > most ? counts[r] : most;
  }
  const int share = (most + splits - 1) / splits;
  const int begin = split * share, end = begin + share < most ? begin + share : most;

  const int64_t query = (b * shape.tokens + first) * width + head * size;
  float queries[kRows][kHeld];
  constexpr float kLog2E = 1.4426950408889634f;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    Item<T, E> pieces[kPieces];
    LoadHead(q + query + int64_t{r} * width, lane, lanes, size, first + r < shape.tokens, pieces);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) queries[r][i] = ToFloat(pieces[i / E].at[i % E]) * (shape.scale * kLog2E);
  }
  Running<kHeld> running[kRows];
  const int64_t entry = (there ? slot * shape.context : 0) * width + head * size;
  k += entry;
  v += entry;

  // Rounds of streams · kKeys keys; all lanes of a warp take part in each, for its shuffles.
  for (int round = begin; round < end; round += streams * kKeys) {
    Item<T, E> keys[kKeys][kPieces], values[kKeys][kPieces];
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
      const int key = round + j * streams + stream;
      LoadHead(k + int64_t{key} * width, lane, lanes, size, key < end, keys[j]);
    }
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
      const int key = round + j * streams + stream;
      LoadHead(v + int64_t{key} * width, lane, lanes, size, key < end, values[j]);
    }
    float scores[kKeys][kRows];
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kHeld; ++i) dot = fmaf(queries[r][i], ToFloat(keys[j][i / E].at[i % E]), dot);
        scores[j][r] = dot;
      }
    }
    for (int offset = lanes / 2; offset > 0; offset /= 2) {
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) scores[j][r] += __shfl_xor_sync(0xffffffffu, scores[j][r], offset);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int limit = counts[r] < end ? counts[r] : end;
      float largest = running[r].largest;
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        if (round + j * streams + stream >= limit) scores[j][r] = -kInfinity;
        largest = fmaxf(largest, scores[j][r]);
      }
      const float shift = ShiftOf(largest), factor = ptx::Exp2(running[r].largest - shift);
      running[r].largest = largest;
      running[r].sum *= factor;
#pragma unroll
      for (int i = 0; i < kHeld; ++i) running[r].values[i] *= factor;
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        const float weight = ptx::Exp2(scores[j][r] - shift);
        running[r].sum += weight;
#pragma unroll
        for (int i = 0; i < kHeld; ++i) {
          running[r].values[i] = fmaf(weight, ToFloat(values[j][i / E].at[i % E]), running[r].values[i]);
        }
      }
    }
  }

  // The warp's streams, then the block's warps.
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    Running<kHeld>& own = running[r];
    for (int offset = lanes; offset < kWarp; offset *= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, own.largest, offset);
      const float largest = fmaxf(own.largest, other), shift = ShiftOf(largest);
      const float factor = ptx::Exp2(own.largest - shift), other_factor = ptx::Exp2(other - shift);
      own.largest = largest;
      own.sum = own.sum * factor + __shfl_xor_sync(0xffffffffu, own.sum, offset) * other_factor;
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        own.values[i] = own.values[i] * factor + __shfl_xor_sync(0xffffffffu, own.values[i], offset) * other_factor;
      }
    }
    float* const row = merged + (warp * kRows + r) * (size + 2);
    if (group == 0) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        const int at = (i / E * lanes + lane) * E + i % E;
        if (at < size) row[at] = own.values[i];
      }
      if (lane == 0) {
        row[size] = own.largest;
        row[size + 1] = own.sum;
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kRows * size; i += Plan::kThreads) {
    const int r = i / size, at = i - r * size;
    if (first + r >= shape.tokens) break;
    const float* const rows = merged + r * (size + 2);
    constexpr int kParts = Plan::kWarps;
    float largest = -kInfinity;
    for (int w = 0; w < kParts; ++w) largest = fmaxf(largest, rows[w * kRows * (size + 2) + size]);
    const float shift = ShiftOf(largest);
    float sum = 0, value = 0;
    for (int w = 0; w < kParts; ++w) {
      const float* const row = rows + w * kRows * (size + 2);
      const float factor = ptx::Exp2(row[size] - shift);
      sum += row[size + 1] * factor;
      value += row[at] * factor;
    }
    if (parts == nullptr) {
      y[query + int64_t{r} * width + at] = FromFloat<T>(value * (sum == 0 ? 0.0f : 1 / sum));
    } else {
      const int64_t place = ((b * shape.tokens + first + r) * shape.heads + head) * splits + split;
      float* const part = parts + place * (size + 2);
      part[at] = value;
      if (at == 0) {
        part[size] = largest;
        part[size + 1] = sum;
      }
    }
  }
}

constexpr int kMergeThreads = 128;

// A block takes one head of one query.
template <typename T>
__global__ __launch_bounds__(kMergeThreads) void MergeKernel(const float* __restrict__ parts, T* __restrict__ y,
                                                             int size, int splits) {
  const float* const own = parts + int64_t{blockIdx.x} * splits * (size + 2);
  float largest = -kInfinity;
  for (int s = 0; s < splits; ++s) largest = fmaxf(largest, own[s * (size + 2) + size]);
  const float shift = ShiftOf(largest);
  for (int at = threadIdx.x; at < size; at += kMergeThreads) {
    float sum = 0, value = 0;
    for (int s = 0; s < splits; ++s) {
      const float* const part = own + s * (size + 2);
      const float factor = ptx::Exp2(part[size] - shift);
      sum += part[size + 1] * factor;
      value += part[at] * factor;
    }
    y[int64_t{blockIdx.x} * size + at] = FromFloat<T>(value * (sum == 0 ? 0.0f : 1 / sum));
  }
}

template <typename T, int E, int kPieces, int kRows>
void AttendTiles(cudaStream_t stream, const T* q, const T* k, const T* v, const int32_t* positions,
                 const int32_t* slots, T* y, const CachedAttentionShape& shape, float* parts, int64_t splits) {
  using Plan = Attend<T, E, kPieces, kRows>;
  int lanes = 1;
  while (lanes < kWarp && lanes * E < shape.head_size) lanes *= 2;
  const int64_t tiles = (shape.tokens + kRows - 1) / kRows;
  Launch(stream, CachedAttentionKernel<T, E, kPieces, kRows>,
         dim3(static_cast<unsigned>(shape.batch * tiles * shape.heads * splits)), dim3(Plan::kThreads),
         static_cast<size_t>(Plan::kWarps * kRows * (shape.head_size + 2)) * sizeof(float), q, k, v, positions, slots,
         y, splits == 1 ? nullptr : parts, shape, lanes, static_cast<int>(splits));
}

template <typename T, int kRows, typename... Arguments>
void AttendHeads(const CachedAttentionShape& shape, Arguments... arguments) {
  constexpr int E = Vector<T>::kCount;
  static_assert(kMostHeadSize <= 8 * kWarp);
  if (shape.head_size % E != 0) return AttendTiles<T, 1, 8, kRows>(arguments...);
  if constexpr (E * kWarp < kMostHeadSize) {
    if (shape.head_size > E * kWarp) return AttendTiles<T, E, kMostHeadSize / (E * kWarp), kRows>(arguments...);
  }
  AttendTiles<T, E, 1, kRows>(arguments...);
}

}  // namespace

void CacheUpdate(cudaStream_t stream, const void* x, const int32_t* positions, const int32_t* slots, void* y,
                 const CacheShape& shape) {
  if (shape.row_bytes % 16 == 0) return Update<Bits16>(stream, x, positions, slots, y, shape);
  if (shape.row_bytes % 4 == 0) return Update<uint32_t>(stream, x, positions, slots, y, shape);
  Update<uint16_t>(stream, x, positions, slots, y, shape);
}

template <typename T>
void CachedAttention(cudaStream_t stream, const T* q, const T* k, const T* v, const int32_t* positions,
                     const int32_t* slots, T* y, const CachedAttentionShape& shape, void* workspace) {
  const int64_t splits = CachedAttentionSplits(shape.batch, shape.tokens, shape.heads, shape.context);
  auto* const parts = static_cast<float*>(workspace);
  if (CachedAttentionTile(shape.tokens) == 1) {
    AttendHeads<T, 1>(shape, stream, q, k, v, positions, slots, y, shape, parts, splits);
  } else {
    AttendHeads<T, 4>(shape, stream, q, k, v, positions, slots, y, shape, parts, splits);
  }
  if (splits == 1) return;
  Launch(stream, MergeKernel<T>, dim3(static_cast<unsigned>(shape.batch * shape.tokens * shape.heads)),
         dim3(kMergeThreads), 0, parts, y, static_cast<int>(shape.head_size), static_cast<int>(splits));
}

template void CachedAttention(cudaStream_t, const float*, const float*, const float*, const int32_t*, const int32_t*,
                              float*, const CachedAttentionShape&, void*);
template void CachedAttention(cudaStream_t, const bf16*, const bf16*, const bf16*, const int32_t*, const int32_t*,
                              bf16*, const CachedAttentionShape&, void*);

}  // namespace gptc::cuda
