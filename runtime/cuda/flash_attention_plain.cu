// Flash attention by plain f32 arithmetic (flash_attention.cuh has the mathematics): for f32 tensors, and for heads
// whose size or scale the tensor cores' kernels do not take.
//
// A block has kTile rows, queries or keys, in shared memory, and walks along the tiles of the others. A thread computes
// the weights (i + 16·a, j + 16·b), where i and j are its place among 16 by 16, and the same rows' elements j + 16·b of
// the results. Rows in shared memory are an odd number of words apart, so that 16 of them lie in different banks.
#include "runtime/cuda/flash_tile.cuh"

namespace gptc::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;

// f32 elements from one row to the next.
__host__ __device__ constexpr int RowStride(int head_size) { return head_size | 1; }

// Rows first .. first + kTile - 1 of a matrix; 0 past its end.
template <int kTile, typename T>
__device__ void LoadTile(float* tile, const T* matrix, int64_t stride, int first, int rows, int columns) {
  for (int row = threadIdx.x / kSide; row < kTile; row += kSide) {
    for (int c = threadIdx.x % kSide; c < columns; c += kSide) {
      tile[row * RowStride(columns) + c] = first + row < rows ? ToFloat(matrix[(first + row) * stride + c]) : 0;
    }
  }
}

template <int kTile>
using Weights = float[kTile / kSide][kTile / kSide];

// The products of the thread's rows of two tiles.
template <int kTile>
__device__ __forceinline__ void Products(Weights<kTile>& products, const float* a, const float* b, int columns) {
  const int i = threadIdx.x / kSide, j = threadIdx.x % kSide, stride = RowStride(columns);
#pragma unroll
  for (int row = 0; row < kTile / kSide; ++row) {
#pragma unroll
    for (int column = 0; column < kTile / kSide; ++column) products[row][column] = 0;
  }
  for (int c = 0; c < columns; ++c) {
#pragma unroll
    for (int row = 0; row < kTile / kSide; ++row) {
#pragma unroll
      for (int column = 0; column < kTile / kSide; ++column) {
        products[row][column] =
            fmaf(a[(i + kSide * row) * stride + c], b[(j + kSide * column) * stride + c], products[row][column]);
      }
    }
  }
}

// sums = sums · factors of their rows + weights · tile; no factors: 1.
template <int kTile>
__device__ __forceinline__ void AddProduct(float* sums, const float* factors, const float* weights, const float* tile,
                                           int columns) {
  const int stride = RowStride(columns);
  for (int row = threadIdx.x / kSide; row < kTile; row += kSide) {
    for (int c = threadIdx.x % kSide; c < columns; c += kSide) {
      float sum = factors == nullptr ? sums[row * stride + c] : sums[row * stride + c] * factors[row];
      for (int other = 0; other < kTile; ++other) {
        sum = fmaf(weights[row * (kTile + 1) + other], tile[other * stride + c], sum);
      }
      sums[row * stride + c] = sum;
    }
  }
}

// Which keys a query sees, and which of them dropout keeps.
struct Mask {
  const FlashArguments& args;
  const FlashHeadOf& head;

  __device__ bool Sees(int query, int key) const {
    if (query >= args.tokens || key >= args.tokens || (args.causal && key > query)) return false;
    if (args.segments == nullptr) return true;
    const int32_t* const segments = args.segments + static_cast<int64_t>(head.b) * args.tokens;
    return segments[query] == segments[key];
  }
  __device__ float Of(int query, int key) const {
    if (args.scalars == nullptr) return 1;
    const FlashDropout dropout(args, head);
    const uint64_t element = dropout.Element(query, key, args.tokens);
    return (dropout.KeptOfBlock(element / 4) >> (element % 4) & 1) != 0 ? args.kept : 0;
  }
};

template <typename T, int kTile>
__global__ void __launch_bounds__(kThreads) ForwardKernel(FlashArguments args, T* y, float* lse) {
  const int tile_size = kTile * RowStride(args.head_size), blocks = (args.tokens + kTile - 1) / kTile;
  GPTC_DYNAMIC_SHARED(shared);
  float* const queries = reinterpret_cast<float*>(shared);
  float* const keys = queries + tile_size;
  float* const values = keys + tile_size;
  float* const sums = values + tile_size;
  float* const weights = sums + tile_size;
  float* const largest = weights + kTile * (kTile + 1);
  float* const total = largest + kTile;
  float* const factors = total + kTile;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const Mask mask{args, head};
  const int first = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * kTile;
  const int end = args.causal ? min(args.tokens, first + kTile) : args.tokens;
  const int i = threadIdx.x / kSide, j = threadIdx.x % kSide, lane = threadIdx.x % kWarp;
  const T* const q = static_cast<const T*>(args.qkv) + head.qkv;

  LoadTile<kTile>(queries, q, head.stride, first, args.tokens, args.head_size);
  for (int e = threadIdx.x; e < tile_size; e += kThreads) sums[e] = 0;
  for (int row = threadIdx.x; row < kTile; row += kThreads) {
    largest[row] = -INFINITY;
    total[row] = 0;
  }
  for (int first_key = 0; first_key < end; first_key += kTile) {
    __syncthreads();
    LoadTile<kTile>(keys, q + head.stride / 3, head.stride, first_key, args.tokens, args.head_size);
    LoadTile<kTile>(values, q + head.stride / 3 * 2, head.stride, first_key, args.tokens, args.head_size);
    __syncthreads();
    Weights<kTile> scores;
    Products<kTile>(scores, queries, keys, args.head_size);
#pragma unroll
    for (int a = 0; a < kTile / kSide; ++a) {
#pragma unroll
      for (int b = 0; b < kTile / kSide; ++b) {
        const int row = i + kSide * a, column = j + kSide * b;
        weights[row * (kTile + 1) + column] =
            mask.Sees(first + row, first_key + column) ? scores[a][b] * args.scale : -INFINITY;
      }
    }
    __syncthreads();
    for (int row = threadIdx.x / kWarp; row < kTile; row += kThreads / kWarp) {
      float* const weight = weights + row * (kTile + 1) + lane;
      const float score = lane < kTile ? *weight : -INFINITY, before = largest[row];
      const float most = fmaxf(before, WarpMax(score));
      // Of a row that has seen nothing yet all weights are 0.
      const float p = most == -INFINITY ? 0 : expf(score - most);
      const float sum = WarpSum(p);
      if (lane < kTile) *weight = p == 0 ? 0 : p * mask.Of(first + row, first_key + lane);
      __syncwarp();
      if (lane == 0) {
        factors[row] = most == -INFINITY ? 1 : expf(before - most);
        largest[row] = most;
        total[row] = total[row] * factors[row] + sum;
      }
    }
    __syncthreads();
    AddProduct<kTile>(sums, factors, weights, values, args.head_size);
  }
  __syncthreads();
  for (int row = i; row < kTile && first + row < args.tokens; row += kSide) {
    for (int c = j; c < args.head_size; c += kSide) {
      y[head.merged + (first + row) * (head.stride / 3) + c] =
          FromFloat<T>(sums[row * RowStride(args.head_size) + c] / total[row]);
    }
    if (j == 0) lse[head.statistics + first + row] = largest[row] + logf(total[row]);
  }
}

// kOfKeys: the block's own rows are k and v, its results dk and dv, and it walks along q and dy. Otherwise its own are
// q and dy, its result dq, and it walks along k and v, having computed the rows' sums.
template <typename T, int kTile, bool kOfKeys>
__global__ void __launch_bounds__(kThreads)
    BackwardKernel(FlashArguments args, const T* dy, const T* y, const float* lse, float* sums, T* dqkv) {
  const int tile_size = kTile * RowStride(args.head_size), blocks = (args.tokens + kTile - 1) / kTile;
  GPTC_DYNAMIC_SHARED(shared);
  float* const own0 = reinterpret_cast<float*>(shared);
  float* const own1 = own0 + tile_size;
  float* const other0 = own1 + tile_size;
  float* const other1 = other0 + tile_size;
  float* const result0 = other1 + tile_size;
  float* const gradients = result0 + tile_size;
  float* const result1 = gradients + kTile * (kTile + 1);  // it and its weights: of keys only
  float* const weights = result1 + tile_size;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const Mask mask{args, head};
  const int block = static_cast<int>(blockIdx.x) % blocks, first = (kOfKeys ? block : blocks - 1 - block) * kTile;
  const int begin = kOfKeys && args.causal ? first : 0;
  const int end = !kOfKeys && args.causal ? min(args.tokens, first + kTile) : args.tokens;
  const int i = threadIdx.x / kSide, j = threadIdx.x % kSide, lane = threadIdx.x % kWarp;
  const int64_t width = head.stride / 3;
  const T* const q = static_cast<const T*>(args.qkv) + head.qkv;

  const auto load_queries = [&](float* to_q, float* to_dy, int from) {
    LoadTile<kTile>(to_q, q, head.stride, from, args.tokens, args.head_size);
    LoadTile<kTile>(to_dy, dy + head.merged, width, from, args.tokens, args.head_size);
  };
  const auto load_keys = [&](float* to_k, float* to_v, int from) {
    LoadTile<kTile>(to_k, q + width, head.stride, from, args.tokens, args.head_size);
    LoadTile<kTile>(to_v, q + 2 * width, head.stride, from, args.tokens, args.head_size);
  };
  if constexpr (kOfKeys) {
    load_keys(own0, own1, first);
  } else {
    load_queries(own0, own1, first);
    __syncthreads();
    for (int row = threadIdx.x / kWarp; row < kTile && first + row < args.tokens; row += kThreads / kWarp) {
      float dot = 0;
      for (int c = lane; c < args.head_size; c += kWarp) {
        dot = fmaf(own1[row * RowStride(args.head_size) + c], ToFloat(y[head.merged + (first + row) * width + c]), dot);
      }
      dot = WarpSum(dot);
      if (lane == 0) sums[head.statistics + first + row] = dot;
    }
  }
  for (int e = threadIdx.x; e < tile_size; e += kThreads) {
    result0[e] = 0;
    if constexpr (kOfKeys) result1[e] = 0;
  }

  for (int first_other = begin; first_other < end; first_other += kTile) {
    __syncthreads();
    if constexpr (kOfKeys) {
      load_queries(other0, other1, first_other);
    } else {
      load_keys(other0, other1, first_other);
    }
    __syncthreads();
    Weights<kTile> scores, products;
    Products<kTile>(scores, own0, other0, args.head_size);
    Products<kTile>(products, own1, other1, args.head_size);
#pragma unroll
    for (int a = 0; a < kTile / kSide; ++a) {
#pragma unroll
      for (int b = 0; b < kTile / kSide; ++b) {
        const int row = i + kSide * a, column = j + kSide * b;
        const int query = kOfKeys ? first_other + column : first + row;
        const int key = kOfKeys ? first + row : first_other + column;
        float p = 0, gradient = 0, kept = 0;
        if (mask.Sees(query, key)) {
          p = expf(scores[a][b] * args.scale - lse[head.statistics + query]);
          kept = mask.Of(query, key);
          gradient = p * (products[a][b] * kept - sums[head.statistics + query]);
        }
        if constexpr (kOfKeys) weights[row * (kTile + 1) + column] = p * kept;
        gradients[row * (kTile + 1) + column] = gradient;
      }
    }
    __syncthreads();
    AddProduct<kTile>(result0, nullptr, gradients, other0, args.head_size);
    if constexpr (kOfKeys) AddProduct<kTile>(result1, nullptr, weights, other1, args.head_size);
  }
  __syncthreads();
  for (int row = i; row < kTile && first + row < args.tokens; row += kSide) {
    for (int c = j; c < args.head_size; c += kSide) {
      const int from = row * RowStride(args.head_size) + c;
      T* const to = dqkv + head.qkv + (first + row) * head.stride + c;
      to[kOfKeys ? width : 0] = FromFloat<T>(result0[from] * args.scale);
      if constexpr (kOfKeys) to[2 * width] = FromFloat<T>(result1[from]);
    }
  }
}

// For `tiles` tiles of `tile` rows, and `squares` matrices of weights; with room for three numbers to a row.
size_t SharedBytes(int tiles, int squares, int tile, int head_size) {
  return sizeof(float) * tile * (tiles * RowStride(head_size) + squares * (tile + 1) + 3);
}

dim3 GridOf(const FlashArguments& args, int tile) {
  return dim3(BlocksFor(args.tokens, tile) * static_cast<unsigned>(args.batch * args.heads));
}

template <int kTile, typename T>
void RunBackward(cudaStream_t stream, const FlashArguments& args, const T* dy, const T* y, const float* lse,
                 float* sums, T* dqkv) {
  const dim3 grid = GridOf(args, kTile), threads(kThreads);
  Launch(stream, BackwardKernel<T, kTile, false>, grid, threads, SharedBytes(5, 1, kTile, args.head_size), args, dy, y,
         lse, sums, dqkv);
  Launch(stream, BackwardKernel<T, kTile, true>, grid, threads, SharedBytes(6, 2, kTile, args.head_size), args, dy, y,
         lse, sums, dqkv);
}

// Up to here tiles of 32 rows leave room for another block on a multiprocessor.
constexpr int kLargeTileHead = 128;

}  // namespace

template <typename T>
void FlashForwardPlain(cudaStream_t stream, const FlashArguments& args, T* y, float* lse) {
  const bool large = args.head_size <= kLargeTileHead;
  const int tile = large ? 32 : 16;
  Launch(stream, large ? ForwardKernel<T, 32> : ForwardKernel<T, 16>, GridOf(args, tile), dim3(kThreads),
         SharedBytes(4, 1, tile, args.head_size), args, y, lse);
}

template <typename T>
void FlashBackwardPlain(cudaStream_t stream, const FlashArguments& args, const T* dy, const T* y, const float* lse,
                        float* sums, T* dqkv) {
  if (args.head_size <= kLargeTileHead) return RunBackward<32>(stream, args, dy, y, lse, sums, dqkv);
  RunBackward<16>(stream, args, dy, y, lse, sums, dqkv);
}

template void FlashForwardPlain(cudaStream_t, const FlashArguments&, float*, float*);
template void FlashForwardPlain(cudaStream_t, const FlashArguments&, bf16*, float*);
template void FlashBackwardPlain(cudaStream_t, const FlashArguments&, const float*, const float*, const float*, float*,
                                 float*);
template void FlashBackwardPlain(cudaStream_t, const FlashArguments&, const bf16*, const bf16*, const float*, float*,
                                 bf16*);

}  // namespace gptc::cuda
