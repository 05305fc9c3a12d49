// The backward on the tensor cores (flash_attention.cuh has the mathematics): two kernels.
//
//   queries  a block has 128 queries, as the forward, and walks along the keys they see: sums, then dq
//   keys     a block has 128 keys and walks along the queries that see them: dk and dv. Its tiles are transposed,
//            keys by queries, so that pᵀ and dsᵀ are operands where they are.
//
// Both compute the scores and dy·vᵀ: seven products of a tile, where one kernel would have five, two of which need ds
// from all warps: through shared memory with barriers, and dq is then a sum over blocks. For a 32 by 32 piece of a
// warp at 64 elements to a head, in cycles of a multiprocessor (mma.sync 2,560 FLOP, shared memory 128 bytes a cycle):
//
//                     products   tensor cores   shared memory
//   queries                  3            154              96
//   keys                     4            205         128-192
//   one kernel               5            256             304, and 8 KB of dq to and from the L2 cache
//
// so two kernels bound at 360 cycles lose at most a sixth to one bound at 304, and have no barrier but that of the
// arriving tile, no order of blocks to keep for the sake of equal bits, no memory for dq in f32, and twice the blocks
// for small batches.
#include "runtime/cuda/flash_tile.cuh"

namespace gptc::cuda {
namespace {

// kGeneral: dropout or segments.
template <int kDim, bool kGeneral>
__global__ void __launch_bounds__(kFlashThreads, 2)
    FlashBackwardQueriesKernel(FlashArguments args, const bf16* dy, const bf16* y, const float* lse, float* sums,
                               bf16* dqkv) {
  using Sizes = FlashSizes<kDim>;
  constexpr int kStrips = Sizes::kStrips;
  constexpr int kStep = kGeneral && kDim == 64 ? 16 : 32;  // the general kernel keeps more in registers
  GPTC_DYNAMIC_SHARED(shared);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int blocks = (args.tokens + Sizes::kRows - 1) / Sizes::kRows;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const int first = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * Sizes::kRows;
  const int own_first = first + warp * Sizes::kWarpRows;
  const int keys = args.causal ? min(args.tokens, first + Sizes::kRows) : args.tokens;
  const int tiles = (keys + Sizes::kTile - 1) / Sizes::kTile;
  const bf16* const q = static_cast<const bf16*>(args.qkv) + head.qkv;
  const bf16* const k = q + head.stride / 3;
  const bf16* const v = k + head.stride / 3;

  const auto stage = [&](int tile) { return shared + tile % kFlashStages * (2 * Sizes::kTileBytes); };
  const TileCopy<kDim> copy_keys(k, head.stride, args.tokens, args.head_size);
  const TileCopy<kDim> copy_values(v, head.stride, args.tokens, args.head_size);
  const auto copy = [&](int tile) {
    if (tile < tiles) {
      copy_keys.template Start<Sizes::kTile>(stage(tile), tile * Sizes::kTile);
      copy_values.template Start<Sizes::kTile>(stage(tile) + Sizes::kTileBytes, tile * Sizes::kTile);
    }
    ptx::CopyCommit();
  };
  TileCopy<kDim>(q, head.stride, args.tokens, args.head_size).template Start<Sizes::kRows>(stage(1), first);
  TileCopy<kDim>(dy + head.merged, head.stride / 3, args.tokens, args.head_size)
      .template Start<Sizes::kRows>(stage(2), first);
  ptx::CopyCommit();
  copy(0);

  // Rows 16·m + 8·half + lane / 4 of a fragment: lse in units of log 2, and the sums of dy·y.
  float shift[kStrips][2], sum[kStrips][2];
  RowFragments<kDim> queries, gradients;
  {
    const RowOutputs<kDim, kStrips> outputs(y + head.merged, head.stride / 3, own_first, args.tokens, args.head_size);
    ptx::CopyWait<1>();
    __syncthreads();
    const TileLane<kDim> place;
    LoadRows<kDim>(queries, stage(1), warp * Sizes::kWarpRows, place);
    LoadRows<kDim>(gradients, stage(2), warp * Sizes::kWarpRows, place);
    __syncthreads();
    copy(1);
    outputs.Dot(gradients, sum);
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = own_first + 16 * m + 8 * half + lane / 4;
        const bool valid = query < args.tokens;
        if (valid && lane % 4 == 0) sums[head.statistics + query] = sum[m][half];
        shift[m][half] = valid ? lse[head.statistics + query] * kLog2E : INFINITY;  // p = 0 past the end
      }
    }
  }
  const TileLane<kDim> place;
  const float scale = args.scale * kLog2E;
  float result[kStrips][kDim / 8][4];
  Clear(result);

  [[maybe_unused]] SegmentRange range;
  if constexpr (kGeneral) range = SegmentRange::Of<Sizes::kWarpRows>(args, head, own_first);
  for (int tile = 0; tile < tiles; ++tile) {
    ptx::CopyWait<1>();
    __syncthreads();
    copy(tile + 2);
    const unsigned char* const key_tile = stage(tile);
    const unsigned char* const value_tile = key_tile + Sizes::kTileBytes;
#pragma unroll 1
    for (int step = 0; step < Sizes::kTile; step += kStep) {
      const int key = tile * Sizes::kTile + step;
      if (key >= args.tokens || (args.causal && key >= own_first + Sizes::kWarpRows)) break;
      if constexpr (kGeneral) {
        if (!range.MayMeet<kStep>(key)) continue;
      }
      float scores[kStrips][kStep / 8][4], products[kStrips][kStep / 8][4];
      Clear(scores);
      MultiplyTransposed<kDim, kStep>(scores, queries, key_tile, step, place);
      Clear(products);
      MultiplyTransposed<kDim, kStep>(products, gradients, value_tile, step, place);
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int n = 0; n < kStep / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            scores[m][n][e] = ptx::Exp2(fmaf(scores[m][n][e], scale, -shift[m][e / 2]));
          }
        }
      }
      if (kGeneral || key + kStep > args.tokens || (args.causal && key + kStep - 1 > own_first)) {
        HideUnseen(scores, args, own_first, key, 0);
      }
      if constexpr (kGeneral) {
        if (args.segments != nullptr) {
#pragma unroll
          for (int m = 0; m < kStrips; ++m) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int own = SegmentOf(range.segments, own_first + 16 * m + e / 2 * 8 + lane / 4, args.tokens);
#pragma unroll
              for (int n = 0; n < kStep / 8; ++n) {
                if (own != SegmentOf(range.segments, key + 8 * n + lane % 4 * 2 + e % 2, args.tokens))
                  scores[m][n][e] = 0;
              }
            }
          }
        }
        if (args.scalars != nullptr) {
          const FlashDropout dropout(args, head);
          uint32_t* const kept = reinterpret_cast<uint32_t*>(shared + Sizes::kStagesBytes) + warp * Sizes::kWarpRows;
          __syncwarp();
          for (int i = lane; i < Sizes::kWarpRows; i += kWarp) {
            kept[i] = dropout.Kept<kStep>(dropout.Element(own_first + i, key, args.tokens));
          }
          __syncwarp();
#pragma unroll
          for (int m = 0; m < kStrips; ++m) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const uint32_t word = kept[16 * m + e / 2 * 8 + lane / 4] >> (lane % 4 * 2 + e % 2);
#pragma unroll
              for (int n = 0; n < kStep / 8; ++n) {
                products[m][n][e] = (word >> (8 * n) & 1) != 0 ? products[m][n][e] * args.kept : 0;
              }
            }
          }
        }
      }
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int n = 0; n < kStep / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) scores[m][n][e] *= products[m][n][e] - sum[m][e / 2];
        }
      }
      Accumulate<kDim, kStep>(result, scores, key_tile, step, place);
    }
  }

  float factors[kStrips][2];
#pragma unroll
  for (int m = 0; m < kStrips; ++m) factors[m][0] = factors[m][1] = args.scale;
  __syncthreads();  // all have read their last tile
  StoreRows<kDim>(result, factors, shared + warp * Sizes::kWarpRows * Sizes::kRowBytes, dqkv + head.qkv, head.stride,
                  own_first, args.tokens, args.head_size);
}

// Shared memory: three stages of q and dy, the block's k and v, three stages of lse and sums (and of what is kept).
template <int kDim, bool kGeneral>
__global__ void __launch_bounds__(kFlashThreads, 2)
    FlashBackwardKeysKernel(FlashArguments args, const bf16* dy, const float* lse, const float* sums, bf16* dqkv) {
  using Sizes = FlashSizes<kDim>;
  constexpr int kStrips = Sizes::kStrips, kTile = Sizes::kTile;
  constexpr int kStep = kGeneral && kDim == 64 ? 16 : 32;
  GPTC_DYNAMIC_SHARED(shared);
  unsigned char* const own_keys = shared + Sizes::kStagesBytes;
  unsigned char* const own_values = own_keys + Sizes::kRowsBytes;
  float* const statistics = reinterpret_cast<float*>(own_values + Sizes::kRowsBytes);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int blocks = (args.tokens + Sizes::kRows - 1) / Sizes::kRows;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const int first = static_cast<int>(blockIdx.x) % blocks * Sizes::kRows;  // with most queries first
  const int own_row = warp * Sizes::kWarpRows, own_first = first + own_row;
  const int begin = args.causal ? first / kTile : 0, end = (args.tokens + kTile - 1) / kTile;
  const bf16* const q = static_cast<const bf16*>(args.qkv) + head.qkv;
  const bf16* const k = q + head.stride / 3;
  const bf16* const v = k + head.stride / 3;

  const auto stage = [&](int tile) { return shared + (tile - begin) % kFlashStages * (2 * Sizes::kTileBytes); };
  const TileCopy<kDim> copy_queries(q, head.stride, args.tokens, args.head_size);
  const TileCopy<kDim> copy_gradients(dy + head.merged, head.stride / 3, args.tokens, args.head_size);
  const auto copy = [&](int tile) {
    if (tile < end) {
      copy_queries.template Start<kTile>(stage(tile), tile * kTile);
      copy_gradients.template Start<kTile>(stage(tile) + Sizes::kTileBytes, tile * kTile);
    }
    ptx::CopyCommit();
  };
  // The first threads look after lse of a tile's queries, in units of log 2, and the next after their sums. A weight is
  // 0 past the end.
  const bool of_lse = threadIdx.x < kTile, has_statistic = threadIdx.x < 2 * kTile;
  const int statistic_row = of_lse ? threadIdx.x : threadIdx.x - kTile;
  const auto load_statistic = [&](int tile) {
    const int query = tile * kTile + statistic_row;
    if (!has_statistic || query >= args.tokens) return of_lse ? INFINITY : 0.0f;
    return of_lse ? lse[head.statistics + query] * kLog2E : sums[head.statistics + query];
  };
  const auto statistics_of = [&](int tile) { return statistics + (tile - begin) % kFlashStages * (2 * kTile); };

  TileCopy<kDim>(k, head.stride, args.tokens, args.head_size).template Start<Sizes::kRows>(own_keys, first);
  TileCopy<kDim>(v, head.stride, args.tokens, args.head_size).template Start<Sizes::kRows>(own_values, first);
  copy(begin);
  copy(begin + 1);
  if (has_statistic) {
    statistics_of(begin)[threadIdx.x] = load_statistic(begin);
    statistics_of(begin + 1)[threadIdx.x] = load_statistic(begin + 1);
  }

  const TileLane<kDim> place;
  const float scale = args.scale * kLog2E;
  float key_sums[kStrips][kDim / 8][4], value_sums[kStrips][kDim / 8][4];
  Clear(key_sums);
  Clear(value_sums);

  [[maybe_unused]] SegmentRange range;
  if constexpr (kGeneral) range = SegmentRange::Of<Sizes::kWarpRows>(args, head, own_first);
  for (int tile = begin; tile < end; ++tile) {
    ptx::CopyWait<1>();
    __syncthreads();
    copy(tile + 2);
    const float next_statistic = load_statistic(tile + 2);
    const unsigned char* const query_tile = stage(tile);
    const unsigned char* const gradient_tile = query_tile + Sizes::kTileBytes;
    const float* const shifts = statistics_of(tile);
#pragma unroll 1
    for (int step = 0; step < kTile; step += kStep) {
      const int query = tile * kTile + step;
      if (args.causal && query + kStep <= own_first) continue;  // none of them sees the warp's keys
      if (query >= args.tokens) break;
      if constexpr (kGeneral) {
        if (!range.MayMeet<kStep>(query)) continue;
      }
      float weights[kStrips][kStep / 8][4];
      Clear(weights);
      MultiplyTransposed<kDim, kStep>(weights, own_keys, own_row, query_tile, step, place);
      float products[kStrips][kStep / 8][4];
      Clear(products);
      MultiplyTransposed<kDim, kStep>(products, own_values, own_row, gradient_tile, step, place);
#pragma unroll
      for (int n = 0; n < kStep / 8; ++n) {
        const float2 shift = *reinterpret_cast<const float2*>(shifts + step + 8 * n + lane % 4 * 2);
#pragma unroll
        for (int m = 0; m < kStrips; ++m) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            weights[m][n][e] = ptx::Exp2(fmaf(weights[m][n][e], scale, e % 2 == 0 ? -shift.x : -shift.y));
          }
        }
      }
      if (args.causal && query < own_first + Sizes::kWarpRows - 1) {
#pragma unroll
        for (int m = 0; m < kStrips; ++m) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int key = own_first + 16 * m + e / 2 * 8 + lane / 4;
#pragma unroll
            for (int n = 0; n < kStep / 8; ++n) {
              if (query + 8 * n + lane % 4 * 2 + e % 2 < key) weights[m][n][e] = 0;
            }
          }
        }
      }
      [[maybe_unused]] uint32_t* kept = nullptr;
      if constexpr (kGeneral) {
        if (args.segments != nullptr) {
#pragma unroll
          for (int m = 0; m < kStrips; ++m) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int own = SegmentOf(range.segments, own_first + 16 * m + e / 2 * 8 + lane / 4, args.tokens);
#pragma unroll
              for (int n = 0; n < kStep / 8; ++n) {
                const int other = SegmentOf(range.segments, query + 8 * n + lane % 4 * 2 + e % 2, args.tokens);
                if (own != other) weights[m][n][e] = 0;
              }
            }
          }
        }
        if (args.scalars != nullptr) {
          // A word is a query's, its bits the warp's keys.
          const FlashDropout dropout(args, head);
          kept = reinterpret_cast<uint32_t*>(statistics + kFlashStages * 2 * kTile) + warp * kStep;
          __syncwarp();
          if (lane < kStep)
            kept[lane] = dropout.Kept<Sizes::kWarpRows>(dropout.Element(query + lane, own_first, args.tokens));
          __syncwarp();
        }
      }
      const auto masked = [&](float x, int m, int n, int e) {
        if constexpr (kGeneral) {
          if (kept != nullptr) {
            const uint32_t word = kept[8 * n + lane % 4 * 2 + e % 2];
            return (word >> (16 * m + e / 2 * 8 + lane / 4) & 1) != 0 ? x * args.kept : 0.0f;
          }
        }
        return x;
      };
      if constexpr (kGeneral) {
        float dropped[kStrips][kStep / 8][4];
#pragma unroll
        for (int m = 0; m < kStrips; ++m) {
#pragma unroll
          for (int n = 0; n < kStep / 8; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) dropped[m][n][e] = masked(weights[m][n][e], m, n, e);
          }
        }
        Accumulate<kDim, kStep>(value_sums, dropped, gradient_tile, step, place);
      } else {
        Accumulate<kDim, kStep>(value_sums, weights, gradient_tile, step, place);
      }
#pragma unroll
      for (int n = 0; n < kStep / 8; ++n) {
        const float2 sum = *reinterpret_cast<const float2*>(shifts + kTile + step + 8 * n + lane % 4 * 2);
#pragma unroll
        for (int m = 0; m < kStrips; ++m) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            weights[m][n][e] *= masked(products[m][n][e], m, n, e) - (e % 2 == 0 ? sum.x : sum.y);
          }
        }
      }
      Accumulate<kDim, kStep>(key_sums, weights, query_tile, step, place);
    }
    if (has_statistic) statistics_of(tile + 2)[threadIdx.x] = next_statistic;
  }

  float factors[kStrips][2];
  __syncthreads();  // all have read their last tile
  bf16* const dk = dqkv + head.qkv + head.stride / 3;
#pragma unroll
  for (int m = 0; m < kStrips; ++m) factors[m][0] = factors[m][1] = 1;
  unsigned char* const staging = shared + warp * Sizes::kWarpRows * Sizes::kRowBytes;
  StoreRows<kDim>(value_sums, factors, staging, dk + head.stride / 3, head.stride, own_first, args.tokens,
                  args.head_size);
#pragma unroll
  for (int m = 0; m < kStrips; ++m) factors[m][0] = factors[m][1] = args.scale;
  StoreRows<kDim>(key_sums, factors, staging, dk, head.stride, own_first, args.tokens, args.head_size);
}

template <int kDim>
void Run(cudaStream_t stream, const FlashArguments& args, const bf16* dy, const bf16* y, const float* lse, float* sums,
         bf16* dqkv) {
  using Sizes = FlashSizes<kDim>;
  const bool general = args.scalars != nullptr || args.segments != nullptr;
  const dim3 grid(BlocksFor(args.tokens, Sizes::kRows) * static_cast<unsigned>(args.batch * args.heads));
  const size_t queries_shared = Sizes::kStagesBytes + (general ? Sizes::kRows * sizeof(uint32_t) : 0);
  const size_t keys_shared = Sizes::kStagesBytes + 2 * Sizes::kRowsBytes +
                             kFlashStages * 2 * Sizes::kTile * sizeof(float) +
                             (general ? kFlashThreads * sizeof(uint32_t) : 0);
  Launch(stream, general ? FlashBackwardQueriesKernel<kDim, true> : FlashBackwardQueriesKernel<kDim, false>, grid,
         dim3(kFlashThreads), queries_shared, args, dy, y, lse, sums, dqkv);
  Launch(stream, general ? FlashBackwardKeysKernel<kDim, true> : FlashBackwardKeysKernel<kDim, false>, grid,
         dim3(kFlashThreads), keys_shared, args, dy, lse, sums, dqkv);
}

}  // namespace

void FlashBackward(cudaStream_t stream, const FlashArguments& args, const bf16* dy, const bf16* y, const float* lse,
                   float* sums, bf16* dqkv) {
  if (args.head_size <= 32) return Run<32>(stream, args, dy, y, lse, sums, dqkv);
  if (args.head_size <= 64) return Run<64>(stream, args, dy, y, lse, sums, dqkv);
  Run<128>(stream, args, dy, y, lse, sums, dqkv);
}

}  // namespace gptc::cuda
