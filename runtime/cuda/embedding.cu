#include "runtime/cuda/embedding.cuh"

#include <algorithm>
#include <type_traits>

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

// --- embedding -------------------------------------------------------------------------------------------------------

constexpr int kGatherThreads = 256;

// Row i by warp i, in units of Unit: uint4 where the rows' bytes allow.
template <typename Unit>
__global__ __launch_bounds__(kGatherThreads) void GatherKernel(const Unit* __restrict__ table,
                                                               const int32_t* __restrict__ ids, Unit* __restrict__ y,
                                                               int64_t rows, int64_t units, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * (kGatherThreads / kWarp) + threadIdx.x / kWarp;
  if (i >= count) return;
  const int64_t id = ids[i];
  const bool inside = id >= 0 && id < rows;
  const Unit* const from = table + (inside ? id : 0) * units;
  Unit* const to = y + i * units;
#pragma unroll 4
  for (int64_t j = threadIdx.x % kWarp; j < units; j += kWarp) to[j] = inside ? from[j] : Unit{};
}

template <typename Unit>
void Gather(cudaStream_t stream, const void* table, const int32_t* ids, void* y, int64_t rows, int64_t row_bytes,
            int64_t count) {
  Launch(stream, GatherKernel<Unit>, dim3(BlocksFor(count, kGatherThreads / kWarp)), dim3(kGatherThreads), 0,
         static_cast<const Unit*>(table), ids, static_cast<Unit*>(y), rows,
         row_bytes / static_cast<int64_t>(sizeof(Unit)), count);
}

// --- the ids in order ------------------------------------------------------------------------------------------------

constexpr int kSortThreads = 256;
constexpr int kSortWarps = kSortThreads / kWarp;
constexpr int kSortRounds = kSortTile / kSortThreads;
static_assert(kSortThreads == kSortRadix, "a thread a digit");

// Ids without a row are one more row, behind all others.
__device__ __forceinline__ uint32_t KeyOf(int32_t id, int32_t rows) {
  return static_cast<uint32_t>(id >= 0 && id < rows ? id : rows);
}

// histograms[tile][digit]: how often the digit at `shift` occurs among the tile's ids.
__global__ __launch_bounds__(kSortThreads) void HistogramKernel(const int32_t* __restrict__ ids,
                                                                int32_t* __restrict__ histograms, int count,
                                                                int32_t rows, int shift) {
  GPTC_SHARED(int32_t, counts, kSortRadix);
  counts[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSortTile;
#pragma unroll
  for (int round = 0; round < kSortRounds; ++round) {
    const int64_t i = begin + round * kSortThreads + threadIdx.x;
    if (i < count) atomicAdd(&counts[KeyOf(ids[i], rows) >> shift & (kSortRadix - 1)], 1);
  }
  __syncthreads();
  histograms[static_cast<int64_t>(blockIdx.x) * kSortRadix + threadIdx.x] = counts[threadIdx.x];
}

// Moves the tile's ids behind all with a smaller digit and behind equal ones that stand before them. places: where the
// ids stood at first; null for "where they are now".
__global__ __launch_bounds__(kSortThreads) void MoveKernel(
    const int32_t* __restrict__ ids, const int32_t* __restrict__ places, const int32_t* __restrict__ histograms,
    int32_t* __restrict__ ids_out, int32_t* __restrict__ places_out, int count, int32_t rows, int shift) {
  GPTC_SHARED(int32_t, next, kSortWarps * kSortRadix);  // [warp][digit]: how many so far, then where the next one goes
  GPTC_SHARED(int32_t, warp_totals, kSortWarps);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, digit = threadIdx.x;
#pragma unroll
  for (int w = 0; w < kSortWarps; ++w) next[w * kSortRadix + digit] = 0;

  // Of this digit: all, and those of the tiles before this one.
  int total = 0, before = 0;
  const int tiles = static_cast<int>(gridDim.x), tile = static_cast<int>(blockIdx.x);
#pragma unroll 8
  for (int t = 0; t < tiles; ++t) {
    const int n = histograms[static_cast<int64_t>(t) * kSortRadix + digit];
    total += n;
    before += t < tile ? n : 0;
  }
  // And all of smaller digits.
  int inclusive = total;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int lower = __shfl_up_sync(kAllLanes, inclusive, offset);
    if (lane >= offset) inclusive += lower;
  }
  if (lane == kWarp - 1) warp_totals[warp] = inclusive;
  __syncthreads();
  int start = inclusive - total + before;
#pragma unroll
  for (int w = 0; w < kSortWarps; ++w) start += w < warp ? warp_totals[w] : 0;

  // A warp's ids stand together, in rounds of 32. The rank of each among the warp's of its digit:
  const int64_t begin = static_cast<int64_t>(tile) * kSortTile + warp * (kWarp * kSortRounds);
  int32_t* const mine = next + warp * kSortRadix;
  uint32_t keys[kSortRounds];
  int ranks[kSortRounds];
#pragma unroll
  for (int round = 0; round < kSortRounds; ++round) {
    const int64_t i = begin + round * kWarp + lane;
    const bool valid = i < count;
    keys[round] = valid ? KeyOf(ids[i], rows) : 0;
    const uint32_t of = keys[round] >> shift & (kSortRadix - 1);
    unsigned peers = __ballot_sync(kAllLanes, valid);  // lanes with the same digit
#pragma unroll
    for (int bit = 1; bit < kSortRadix; bit *= 2) {
      const unsigned set = __ballot_sync(kAllLanes, (of & bit) != 0);
      peers &= (of & bit) != 0 ? set : ~set;
    }
    const int lower = __popc(peers & ((1u << lane) - 1));
    ranks[round] = valid ? mine[of] + lower : 0;
    __syncwarp();
    if (valid && lower == 0) mine[of] += __popc(peers);
    __syncwarp();
  }
  __syncthreads();
  for (int w = 0; w < kSortWarps; ++w) {
    const int n = next[w * kSortRadix + digit];
    next[w * kSortRadix + digit] = start;
    start += n;
  }
  __syncthreads();
#pragma unroll
  for (int round = 0; round < kSortRounds; ++round) {
    const int64_t i = begin + round * kWarp + lane;
    if (i >= count) continue;
    const int to = mine[keys[round] >> shift & (kSortRadix - 1)] + ranks[round];
    ids_out[to] = static_cast<int32_t>(keys[round]);
    places_out[to] = places == nullptr ? static_cast<int32_t>(i) : places[i];
  }
}

// --- the sums --------------------------------------------------------------------------------------------------------

constexpr int kSumThreads = 256;  // at most
constexpr int kSumAhead = 4;      // rows that are on their way at once

template <typename T, bool kVectors>
using Item = std::conditional_t<kVectors, Vector<T>, T>;

template <typename T, bool kVectors>
__device__ __forceinline__ Item<T, kVectors> LoadItem(const T* from) {
  if constexpr (kVectors) {
    return LoadVectorOnce(from);
  } else {
    return *from;
  }
}
template <int kCount>
__device__ __forceinline__ void LoadFloats(const float* from, float (&to)[kCount]) {
  if constexpr (kCount % 4 == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      const Vector<float> four = LoadVector(from + i);
#pragma unroll
      for (int j = 0; j < 4; ++j) to[i + j] = four.at[j];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = from[i];
  }
}
template <int kCount>
__device__ __forceinline__ void StoreFloats(float* to, const float (&from)[kCount]) {
  if constexpr (kCount % 4 == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += 4)
      StoreVector(to + i, Vector<float>{{from[i], from[i + 1], from[i + 2], from[i + 3]}});
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = from[i];
  }
}

// How many of the part's kPart ids, in shared memory, are `id`.
__device__ __forceinline__ int CountEqual(const int32_t* ids, int32_t id) {
  int n = 0;
#pragma unroll
  for (int i = 0; i < kPart; i += kWarp) n += __popc(__ballot_sync(kAllLanes, ids[i + threadIdx.x % kWarp] == id));
  return n;
}

// Part blockIdx.x of the ids in order, columns by blockIdx.y. sums [parts, width]: of runs that have more parts.
template <typename T, bool kVectors>
__global__ __launch_bounds__(kSumThreads) void SumPartsKernel(const int32_t* __restrict__ ids,
                                                              const int32_t* __restrict__ places,
                                                              const T* __restrict__ dy, const float* base,
                                                              float* dtable, float* __restrict__ sums, int count,
                                                              int32_t rows, int64_t width) {
  constexpr int kCount = kVectors ? Vector<T>::kCount : 1;
  GPTC_SHARED(int32_t, window, 2 * kPart + 2);  // the id before the part, this part, the next, and one more; or -1
  GPTC_SHARED(int32_t, place, 2 * kPart);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kPart;
  for (int i = threadIdx.x; i < 2 * kPart + 2; i += blockDim.x) {
    const int64_t p = begin - 1 + i;
    window[i] = p >= 0 && p < count ? ids[p] : -1;
  }
  for (int i = threadIdx.x; i < 2 * kPart; i += blockDim.x) place[i] = begin + i < count ? places[begin + i] : 0;
  __syncthreads();
  const int32_t* const id = window + 1;
  const int32_t earlier = id[-1];

  // Ids at the part's front whose run ends in it belong to the part before; so do the next part's to this one.
  const int32_t latest = id[kPart - 1];
  const int front = CountEqual(id, earlier), next = CountEqual(id + kPart, latest);
  const int first = earlier >= 0 && id[kPart] != earlier ? front : 0;
  const int length = static_cast<int>(count - begin < kPart ? count - begin : kPart);
  const int last = length == kPart && latest >= 0 && id[2 * kPart] != latest ? kPart + next : length;

  const int64_t column = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kCount;
  if (column >= width) return;
  float sum[kCount] = {};
  for (int group = first; group < last; group += kSumAhead) {
    Item<T, kVectors> row[kSumAhead];
    float under[kSumAhead][kCount] = {};
#pragma unroll
    for (int k = 0; k < kSumAhead; ++k) {
      const int i = group + k;
      if (i >= last || id[i] == rows) continue;
      row[k] = LoadItem<T, kVectors>(dy + place[i] * width + column);
      if (base != nullptr && id[i + 1] != id[i] && id[i] != earlier)
        LoadFloats(base + id[i] * width + column, under[k]);
    }
#pragma unroll
    for (int k = 0; k < kSumAhead; ++k) {
      const int i = group + k;
      if (i >= last || id[i] == rows) continue;
      if constexpr (kVectors) {
        float values[kCount];
        Unpack(row[k], values);
#pragma unroll
        for (int j = 0; j < kCount; ++j) sum[j] += values[j];
      } else {
        sum[0] += ToFloat(row[k]);
      }
      const bool over = id[i + 1] != id[i];
      if (!over && i + 1 < last) continue;
      if (over && id[i] != earlier) {
#pragma unroll
        for (int j = 0; j < kCount; ++j) sum[j] += under[k][j];
        StoreFloats(dtable + id[i] * width + column, sum);
      } else {
        StoreFloats(sums + blockIdx.x * width + column, sum);
      }
#pragma unroll
      for (int j = 0; j < kCount; ++j) sum[j] = 0;
    }
  }
}

// The run that begins in part blockIdx.x, if it has sums of several parts.
template <int kCount>
__global__ __launch_bounds__(kSumThreads) void AddPartsKernel(const int32_t* __restrict__ ids, const float* base,
                                                              float* dtable, const float* __restrict__ sums, int count,
                                                              int32_t rows, int64_t width) {
  const int64_t part = blockIdx.x, end = (part + 1) * kPart;
  if (end + kPart >= count) return;
  const int32_t id = ids[end - 1];
  if (id == rows || ids[end + kPart] != id || (part > 0 && ids[end - kPart - 1] == id)) return;
  // A part has such a sum if the first id of the next is still this one.
  int64_t parts = 1;
  for (;;) {
    const int64_t p = (part + 1 + parts + threadIdx.x % kWarp) * kPart;
    const unsigned same = __ballot_sync(kAllLanes, p < count && ids[p < count ? p : 0] == id);
    parts += __popc(same);
    if (same != kAllLanes) break;
  }
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kCount;
  if (column >= width) return;
  const float* from = sums + part * width + column;
  float sum[kCount], more[kCount];
  LoadFloats(from, sum);
#pragma unroll 8
  for (int64_t i = 1; i < parts; ++i) {
    LoadFloats(from + i * width, more);
#pragma unroll
    for (int j = 0; j < kCount; ++j) sum[j] += more[j];
  }
  if (base != nullptr) {
    LoadFloats(base + id * width + column, more);
#pragma unroll
    for (int j = 0; j < kCount; ++j) sum[j] += more[j];
  }
  StoreFloats(dtable + id * width + column, sum);
}

constexpr int kStartThreads = 256;
constexpr int kStartItems = 4;  // 16-byte accesses a thread

// dtable = base or 0, where not every row has an id.
__global__ __launch_bounds__(kStartThreads) void StartKernel(const float* __restrict__ base, float* __restrict__ dtable,
                                                             int64_t count) {
  const int64_t begin = (static_cast<int64_t>(blockIdx.x) * kStartItems * kStartThreads + threadIdx.x) * 4;
#pragma unroll
  for (int k = 0; k < kStartItems; ++k) {
    const int64_t i = begin + k * kStartThreads * 4;
    if (i + 4 <= count) {
      StoreVector(dtable + i, base == nullptr ? Vector<float>{} : LoadVectorOnce(base + i));
    } else {
      for (int64_t j = i; j < count; ++j) dtable[j] = base == nullptr ? 0.0f : base[j];
    }
  }
}

// Threads for so many columns of items: whole warps, at most kSumThreads.
dim3 SumBlock(int64_t items) {
  return dim3(static_cast<unsigned>(std::min<int64_t>((items + 31) / 32 * 32, kSumThreads)));
}

template <typename T, bool kVectors>
void Sum(cudaStream_t stream, const int32_t* ids, const int32_t* places, const T* dy, const float* base, float* dtable,
         float* sums, const EmbeddingBackwardShape& shape) {
  const int count = static_cast<int>(shape.count);
  const auto rows = static_cast<int32_t>(shape.rows);
  const unsigned parts = BlocksFor(shape.count, kPart);
  const int64_t items = kVectors ? shape.width / Vector<T>::kCount : shape.width;
  const dim3 block = SumBlock(items);
  Launch(stream, SumPartsKernel<T, kVectors>, dim3(parts, BlocksFor(items, block.x)), block, 0, ids, places, dy, base,
         dtable, sums, count, rows, shape.width);
  constexpr int kCount = kVectors ? 4 : 1;
  const dim3 add = SumBlock(shape.width / kCount);
  Launch(stream, AddPartsKernel<kCount>, dim3(parts, BlocksFor(shape.width / kCount, add.x)), add, 0, ids, base, dtable,
         sums, count, rows, shape.width);
}

}  // namespace

void Embedding(cudaStream_t stream, const void* table, const int32_t* ids, void* y, int64_t rows, int64_t row_bytes,
               int64_t count) {
  const auto gather = row_bytes % 16 == 0  ? Gather<uint4>
                      : row_bytes % 8 == 0 ? Gather<uint2>
                      : row_bytes % 4 == 0 ? Gather<uint32_t>
                                           : Gather<uint16_t>;
  gather(stream, table, ids, y, rows, row_bytes, count);
}

template <typename T>
void EmbeddingBackward(cudaStream_t stream, const int32_t* ids, const T* dy, const float* base, float* dtable,
                       const EmbeddingBackwardShape& shape, void* workspace) {
  if (base != dtable) {
    const int64_t count = shape.rows * shape.width;
    Launch(stream, StartKernel, dim3(BlocksFor(count, int64_t{4} * kStartItems * kStartThreads)), dim3(kStartThreads),
           0, base, dtable, count);
  }
  if (shape.count == 0 || shape.width == 0) return;
  const EmbeddingWorkspace at = EmbeddingWorkspaceOf(shape.count, shape.width);
  const auto ints = [&](int64_t offset) {
    return reinterpret_cast<int32_t*>(static_cast<unsigned char*>(workspace) + offset);
  };
  const int32_t *sorted = ids, *places = nullptr;
  const dim3 tiles(BlocksFor(shape.count, kSortTile));
  int32_t* const histograms = ints(at.histograms);
  const int count = static_cast<int>(shape.count);
  const auto rows = static_cast<int32_t>(shape.rows);
  int to = 0;
  for (int shift = 0; shift == 0 || shape.rows >> shift != 0; shift += 8) {
    Launch(stream, HistogramKernel, tiles, dim3(kSortThreads), 0, sorted, histograms, count, rows, shift);
    Launch(stream, MoveKernel, tiles, dim3(kSortThreads), 0, sorted, places, histograms, ints(at.sorted[to]),
           ints(at.places[to]), count, rows, shift);
    sorted = ints(at.sorted[to]);
    places = ints(at.places[to]);
    to = 1 - to;
  }
  float* const sums = reinterpret_cast<float*>(ints(at.sums));
  if (shape.width % Vector<T>::kCount == 0) {
    Sum<T, true>(stream, sorted, places, dy, base, dtable, sums, shape);
  } else {
    Sum<T, false>(stream, sorted, places, dy, base, dtable, sums, shape);
  }
}

template void EmbeddingBackward<float>(cudaStream_t, const int32_t*, const float*, const float*, float*,
                                       const EmbeddingBackwardShape&, void*);
template void EmbeddingBackward<bf16>(cudaStream_t, const int32_t*, const bf16*, const float*, float*,
                                      const EmbeddingBackwardShape&, void*);

}  // namespace gptc::cuda
