// Flash attention by Hopper's warpgroup products (sm_90a), forward and backward: the algorithms of flash_attention.cu
// and flash_attention_backward.cu for heads of 40 to 64 elements, without dropout and segments.
//
// A block is a warpgroup and has 64 rows: queries, or in the kernel for dk and dv keys. They stay in shared memory, and
// tiles of 64 rows of the other side come along by cp.async. Scores, and dy·vᵀ, are products of shared memory with
// shared memory; weights then are registers, as the first operand of the products that are summed. A block waits for
// each of its products: three or four on a multiprocessor take turns on the tensor cores.
//
// For 64 rows by 64 of a tile, in cycles of a multiprocessor (4,096 FLOP of products, 128 bytes of shared memory, 16
// exponentials a cycle):
//
//               products   tensor cores   shared memory   exponentials
//   forward            2            256             192            256
//   queries            3            384             320            256
//   keys               4            512             384            256
//
// Fragments of q that stay in registers for all tiles would spare shared memory; ptxas (CUDA 13.0) then puts the
// weights into the same registers.
#include "runtime/cuda/flash_tile.cuh"

// Code for other architectures has empty kernels, which nobody launches.
#if defined(GPTC_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GPTC_HAS_WARPGROUPS 1
#else
#define GPTC_HAS_WARPGROUPS 0
#endif

namespace gptc::cuda {
namespace {

constexpr int kDim = 64, kTile = 64, kTileBytes = kTile * kDim * 2;
static_assert(kFlashThreads == 128);                                 // a warpgroup
constexpr int kStages = 3, kStagesBytes = kStages * 2 * kTileBytes;  // one is read while two arrive
// Blocks that share a multiprocessor, by registers and by shared memory.
constexpr int kForwardResident = 4, kBackwardResident = 3;

using Sums = float[1][kTile / 8][4];  // a warp's part of 64 by 64: kTile = kDim
using Packed = uint32_t[kTile / 16][4];

#if GPTC_HAS_WARPGROUPS

// Starts products = rows·tileᵀ.
__device__ __forceinline__ void StartTransposed(Sums& products, ptx::SharedOperand rows, ptx::SharedOperand tile) {
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    ptx::WarpgroupMultiply(products[0], rows.From(0, 16 * k), tile.From(0, 16 * k), k > 0);
  }
  ptx::WarpgroupCommit();
}

// Weights as the first operand of a product, rounded to bf16.
__device__ __forceinline__ void PackWeights(Packed& packed, const Sums& weights) {
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float* const pair = &weights[0][2 * k + i / 2][i % 2 * 2];
      packed[k][i] = ptx::PackBf16(pair[0], pair[1]);
    }
  }
}

// Starts sums += weights·tile.
__device__ __forceinline__ void StartAccumulate(Sums& sums, const Packed& weights, ptx::SharedOperand tile) {
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
    ptx::WarpgroupMultiply(sums[0], weights[k], tile.From(16 * k, 0), true);
  }
  ptx::WarpgroupCommit();
}

// The tiles of two matrices that a block walks along, side by side in stages.
struct TilePairs {
  unsigned char* stages;
  int end;  // of the tiles
  TileCopy<kDim> left, right;

  __device__ __forceinline__ unsigned char* Stage(int tile) const { return stages + tile % kStages * (2 * kTileBytes); }
  // Starts copying a tile, if there is such a one: a group of copies in any case.
  __device__ __forceinline__ void Start(int tile) const {
    if (tile < end) {
      left.template Start<kTile>(Stage(tile), tile * kTile);
      right.template Start<kTile>(Stage(tile) + kTileBytes, tile * kTile);
    }
    ptx::CopyCommit();
  }
};

// Waits for all of a thread's copies but those of the last tile, and makes them everybody's.
__device__ __forceinline__ void AwaitTile() {
  ptx::CopyWait<1>();
  ptx::FenceShared();
  __syncthreads();
}

#endif  // GPTC_HAS_WARPGROUPS

__global__ void __launch_bounds__(kFlashThreads, kForwardResident)
    FlashForwardHopperKernel(FlashArguments args, bf16* y, float* lse) {
#if GPTC_HAS_WARPGROUPS
  GPTC_DYNAMIC_SHARED(shared);
  unsigned char* const own_rows = shared + kStagesBytes;
  const int blocks = (args.tokens + kTile - 1) / kTile;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const int first = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * kTile;  // with most keys first
  const int own_first = first + static_cast<int>(threadIdx.x) / kWarp * 16;
  const int tiles = args.causal ? first / kTile + 1 : blocks;
  const bf16* const q = static_cast<const bf16*>(args.qkv) + head.qkv;
  const bf16* const k = q + head.stride / 3;
  const bf16* const v = k + head.stride / 3;

  const TilePairs pairs = {
      shared, tiles, {k, head.stride, args.tokens, args.head_size}, {v, head.stride, args.tokens, args.head_size}};
  TileCopy<kDim>(q, head.stride, args.tokens, args.head_size).template Start<kTile>(own_rows, first);
  pairs.Start(0);
  pairs.Start(1);

  const ptx::SharedOperand queries(own_rows);
  const float scale = args.scale * kLog2E;
  Sums sums;
  Clear(sums);
  OnlineSoftmax<1> softmax;
  for (int tile = 0; tile < tiles; ++tile) {
    AwaitTile();
    const ptx::SharedOperand keys(pairs.Stage(tile)), values = keys.From(kTile, 0);
    const int key = tile * kTile;
    Sums scores;
    ptx::WarpgroupFence();
    StartTransposed(scores, queries, keys);
    pairs.Start(tile + 2);
    ptx::WarpgroupWait<0>();
    if (key + kTile > args.tokens || (args.causal && key + kTile - 1 > own_first)) {
      HideUnseen(scores, args, own_first, key, -INFINITY);
    }
    softmax.Take(scores, scale, sums);
    Packed weights;
    PackWeights(weights, scores);
    ptx::WarpgroupFence();
    StartAccumulate(sums, weights, values);
    ptx::WarpgroupWait<0>();
  }

  float inverse[1][2];
  softmax.Finish(lse + head.statistics, own_first, args.tokens, inverse);
  __syncthreads();  // all have read their last tile
  StoreRows<kDim>(sums, inverse, shared + threadIdx.x / kWarp * (16 * kDim * 2), y + head.merged, head.stride / 3,
                  own_first, args.tokens, args.head_size);
#endif
}

__global__ void __launch_bounds__(kFlashThreads, kBackwardResident)
    FlashBackwardQueriesHopperKernel(FlashArguments args, const bf16* dy, const bf16* y, const float* lse, float* sums,
                                     bf16* dqkv) {
#if GPTC_HAS_WARPGROUPS
  GPTC_DYNAMIC_SHARED(shared);
  unsigned char* const own_rows = shared + kStagesBytes;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int blocks = (args.tokens + kTile - 1) / kTile;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const int first = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * kTile;
  const int own_first = first + warp * 16;
  const int tiles = args.causal ? first / kTile + 1 : blocks;
  const bf16* const q = static_cast<const bf16*>(args.qkv) + head.qkv;
  const bf16* const k = q + head.stride / 3;
  const bf16* const v = k + head.stride / 3;

  const TilePairs pairs = {
      shared, tiles, {k, head.stride, args.tokens, args.head_size}, {v, head.stride, args.tokens, args.head_size}};
  TileCopy<kDim>(q, head.stride, args.tokens, args.head_size).template Start<kTile>(own_rows, first);
  TileCopy<kDim>(dy + head.merged, head.stride / 3, args.tokens, args.head_size)
      .template Start<kTile>(own_rows + kTileBytes, first);
  ptx::CopyCommit();
  pairs.Start(0);
  pairs.Start(1);

  // Of rows 8·half + lane / 4: lse in units of log 2, and the sums of dy·y.
  float shift[2], sum[1][2];
  {
    const RowOutputs<kDim, 1> outputs(y + head.merged, head.stride / 3, own_first, args.tokens, args.head_size);
    ptx::CopyWait<2>();
    __syncthreads();
    uint32_t fragments[1][kDim / 16][4];
    LoadRows<kDim>(fragments, own_rows + kTileBytes, warp * 16, TileLane<kDim>());
    outputs.Dot(fragments, sum);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = own_first + 8 * half + lane / 4;
    const bool valid = query < args.tokens;
    if (valid && lane % 4 == 0) sums[head.statistics + query] = sum[0][half];
    shift[half] = valid ? lse[head.statistics + query] * kLog2E : INFINITY;  // p = 0 past the end
  }

  const ptx::SharedOperand queries(own_rows), gradients = queries.From(kTile, 0);
  const float scale = args.scale * kLog2E;
  Sums result;
  Clear(result);
  for (int tile = 0; tile < tiles; ++tile) {
    AwaitTile();
    const ptx::SharedOperand keys(pairs.Stage(tile)), values = keys.From(kTile, 0);
    const int key = tile * kTile;
    Sums scores, products;
    ptx::WarpgroupFence();
    StartTransposed(scores, queries, keys);
    StartTransposed(products, gradients, values);
    pairs.Start(tile + 2);
    ptx::WarpgroupWait<1>();
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[0][n][e] = ptx::Exp2(fmaf(scores[0][n][e], scale, -shift[e / 2]));
    }
    if (key + kTile > args.tokens || (args.causal && key + kTile - 1 > own_first)) {
      HideUnseen(scores, args, own_first, key, 0);
    }
    ptx::WarpgroupWait<0>();
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[0][n][e] *= products[0][n][e] - sum[0][e / 2];
    }
    Packed packed;
    PackWeights(packed, scores);
    ptx::WarpgroupFence();
    StartAccumulate(result, packed, keys);
    ptx::WarpgroupWait<0>();
  }

  const float factors[1][2] = {{args.scale, args.scale}};
  __syncthreads();  // all have read their last tile
  StoreRows<kDim>(result, factors, shared + warp * (16 * kDim * 2), dqkv + head.qkv, head.stride, own_first,
                  args.tokens, args.head_size);
#endif
}

// Shared memory: stages of q and dy, the block's k and v, as many stages of lse and sums.
__global__ void __launch_bounds__(kFlashThreads, kBackwardResident)
    FlashBackwardKeysHopperKernel(FlashArguments args, const bf16* dy, const float* lse, const float* sums,
                                  bf16* dqkv) {
#if GPTC_HAS_WARPGROUPS
  GPTC_DYNAMIC_SHARED(shared);
  unsigned char* const own_rows = shared + kStagesBytes;
  float* const statistics = reinterpret_cast<float*>(own_rows + 2 * kTileBytes);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int blocks = (args.tokens + kTile - 1) / kTile;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const int first = static_cast<int>(blockIdx.x) % blocks * kTile;  // with most queries first
  const int own_first = first + warp * 16;
  const int begin = args.causal ? first / kTile : 0, end = blocks;  // tiles of queries that see keys of the block
  const bf16* const q = static_cast<const bf16*>(args.qkv) + head.qkv;
  const bf16* const k = q + head.stride / 3;
  const bf16* const v = k + head.stride / 3;

  const TilePairs pairs = {shared,
                           end,
                           {q, head.stride, args.tokens, args.head_size},
                           {dy + head.merged, head.stride / 3, args.tokens, args.head_size}};
  // The first threads look after lse of a tile's queries, in units of log 2, and the next after their sums. A weight is
  // 0 past the end.
  const bool of_lse = threadIdx.x < kTile, has_statistic = threadIdx.x < 2 * kTile;
  const int statistic_row = of_lse ? threadIdx.x : threadIdx.x - kTile;
  const auto statistics_of = [&](int tile) { return statistics + tile % kStages * (2 * kTile); };
  const auto copy = [&](int tile) {
    if (tile < end && has_statistic) {
      const int query = tile * kTile + statistic_row;
      float value = of_lse ? INFINITY : 0.0f;
      if (query < args.tokens) {
        value = of_lse ? lse[head.statistics + query] * kLog2E : sums[head.statistics + query];
      }
      statistics_of(tile)[threadIdx.x] = value;
    }
    pairs.Start(tile);
  };
  TileCopy<kDim>(k, head.stride, args.tokens, args.head_size).template Start<kTile>(own_rows, first);
  TileCopy<kDim>(v, head.stride, args.tokens, args.head_size).template Start<kTile>(own_rows + kTileBytes, first);
  copy(begin);
  copy(begin + 1);

  const ptx::SharedOperand own_keys(own_rows), own_values = own_keys.From(kTile, 0);
  const float scale = args.scale * kLog2E;
  Sums key_sums, value_sums;
  Clear(key_sums);
  Clear(value_sums);
  for (int tile = begin; tile < end; ++tile) {
    AwaitTile();
    const ptx::SharedOperand queries(pairs.Stage(tile)), gradients = queries.From(kTile, 0);
    const float* const shifts = statistics_of(tile);
    Sums weights, products;
    ptx::WarpgroupFence();
    StartTransposed(weights, own_keys, queries);
    StartTransposed(products, own_values, gradients);
    copy(tile + 2);
    ptx::WarpgroupWait<1>();
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
      const float2 shift = *reinterpret_cast<const float2*>(shifts + 8 * n + lane % 4 * 2);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        weights[0][n][e] = ptx::Exp2(fmaf(weights[0][n][e], scale, e % 2 == 0 ? -shift.x : -shift.y));
      }
    }
    if (args.causal && tile * kTile < own_first + 15) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int key = own_first + e / 2 * 8 + lane / 4;
#pragma unroll
        for (int n = 0; n < kTile / 8; ++n) {
          if (tile * kTile + 8 * n + lane % 4 * 2 + e % 2 < key) weights[0][n][e] = 0;
        }
      }
    }
    Packed packed;
    PackWeights(packed, weights);
    ptx::WarpgroupFence();
    StartAccumulate(value_sums, packed, gradients);
    ptx::WarpgroupWait<1>();
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
      const float2 sum = *reinterpret_cast<const float2*>(shifts + kTile + 8 * n + lane % 4 * 2);
#pragma unroll
      for (int e = 0; e < 4; ++e) weights[0][n][e] *= products[0][n][e] - (e % 2 == 0 ? sum.x : sum.y);
    }
    Packed scores;
    PackWeights(scores, weights);
    ptx::WarpgroupFence();
    StartAccumulate(key_sums, scores, queries);
    ptx::WarpgroupWait<0>();
  }

  __syncthreads();  // all have read their last tile
  bf16* const dk = dqkv + head.qkv + head.stride / 3;
  unsigned char* const staging = shared + warp * (16 * kDim * 2);
  const float ones[1][2] = {{1, 1}}, scales[1][2] = {{args.scale, args.scale}};
  StoreRows<kDim>(value_sums, ones, staging, dk + head.stride / 3, head.stride, own_first, args.tokens, args.head_size);
  StoreRows<kDim>(key_sums, scales, staging, dk, head.stride, own_first, args.tokens, args.head_size);
#endif
}

dim3 GridOf(const FlashArguments& args) {
  return dim3(BlocksFor(args.tokens, kTile) * static_cast<unsigned>(args.batch * args.heads));
}

}  // namespace

void FlashForwardHopper(cudaStream_t stream, const FlashArguments& args, bf16* y, float* lse) {
  Launch(stream, FlashForwardHopperKernel, GridOf(args), dim3(kFlashThreads), kStagesBytes + kTileBytes, args, y, lse);
}

void FlashBackwardHopper(cudaStream_t stream, const FlashArguments& args, const bf16* dy, const bf16* y,
                         const float* lse, float* sums, bf16* dqkv) {
  constexpr size_t kShared = kStagesBytes + 2 * kTileBytes, kStatistics = kStages * 2 * kTile * sizeof(float);
  Launch(stream, FlashBackwardQueriesHopperKernel, GridOf(args), dim3(kFlashThreads), kShared, args, dy, y, lse, sums,
         dqkv);
  Launch(stream, FlashBackwardKeysHopperKernel, GridOf(args), dim3(kFlashThreads), kShared + kStatistics, args, dy, lse,
         sums, dqkv);
}

}  // namespace gptc::cuda
