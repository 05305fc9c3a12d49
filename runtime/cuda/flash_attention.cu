// The forward on the tensor cores (flash_attention.cuh has the mathematics).
//
// A block of four warps has 128 queries of a head (64 where heads are wider than 64) and walks along the keys it sees,
// in tiles that arrive two ahead. A warp's 32 queries stay in registers, as do their scores, which become the weights'
// operand where they are: nothing but k and v passes through shared memory, and each fragment of theirs serves four
// products. Blocks of one head are neighbours, those with most keys first: k and v come from the L2 cache.
#include "runtime/cuda/flash_tile.cuh"

namespace gptc::cuda {
namespace {

// kGeneral: dropout or segments. A tile is taken in steps of kStep keys, whose scores are in registers at once; these
// must let kResident blocks live on a multiprocessor.
template <int kDim, bool kGeneral, int kStep, int kResident>
__global__ void __launch_bounds__(kFlashThreads, kResident)
    FlashForwardKernel(FlashArguments args, bf16* y, float* lse) {
  using Sizes = FlashSizes<kDim>;
  constexpr int kStrips = Sizes::kStrips, kTile = Sizes::kTile;
  GPTC_DYNAMIC_SHARED(shared);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int blocks = (args.tokens + Sizes::kRows - 1) / Sizes::kRows;
  const FlashHeadOf head(args, blockIdx.x / blocks);
  const int first = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * Sizes::kRows;
  const int own_first = first + warp * Sizes::kWarpRows;  // the warp's first query
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
      copy_keys.template Start<kTile>(stage(tile), tile * kTile);
      copy_values.template Start<kTile>(stage(tile) + Sizes::kTileBytes, tile * kTile);
    }
    ptx::CopyCommit();
  };
  TileCopy<kDim>(q, head.stride, args.tokens, args.head_size).template Start<Sizes::kRows>(stage(2), first);
  ptx::CopyCommit();
  copy(0);
  copy(1);
  ptx::CopyWait<2>();
  __syncthreads();
  const TileLane<kDim> place;
  RowFragments<kDim> queries;
  LoadRows<kDim>(queries, stage(2), warp * Sizes::kWarpRows, place);

  const float scale = args.scale * kLog2E;
  float sums[kStrips][kDim / 8][4];
  Clear(sums);
  OnlineSoftmax<kStrips> softmax;

  [[maybe_unused]] SegmentRange range;
  if constexpr (kGeneral) range = SegmentRange::Of<Sizes::kWarpRows>(args, head, own_first);
  for (int tile = 0; tile < tiles; ++tile) {
    ptx::CopyWait<1>();
    __syncthreads();
    copy(tile + 2);
    const unsigned char* const key_tile = stage(tile);
    const unsigned char* const value_tile = key_tile + Sizes::kTileBytes;
#pragma unroll 1
    for (int step = 0; step < kTile; step += kStep) {
      const int key = tile * kTile + step;
      if (key >= keys || (args.causal && key >= own_first + Sizes::kWarpRows)) break;  // the warp sees none of them
      if constexpr (kGeneral) {
        if (!range.MayMeet<kStep>(key)) continue;
      }

      float scores[kStrips][kStep / 8][4];
      Clear(scores);
      MultiplyTransposed<kDim, kStep>(scores, queries, key_tile, step, place);

      if (kGeneral || key + kStep > args.tokens || (args.causal && key + kStep - 1 > own_first)) {
        HideUnseen(scores, args, own_first, key, -INFINITY);
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
                const int other = SegmentOf(range.segments, key + 8 * n + lane % 4 * 2 + e % 2, args.tokens);
                if (own != other) scores[m][n][e] = -INFINITY;
              }
            }
          }
        }
      }

      softmax.Take(scores, scale, sums);
      if constexpr (kGeneral) {
        if (args.scalars != nullptr) {
          const FlashDropout dropout(args, head);
          uint32_t* const kept =
              reinterpret_cast<uint32_t*>(shared + Sizes::kStagesBytes) + warp * Sizes::kWarpRows * 2;
          constexpr int kWords = kStep / 32;
          __syncwarp();
          for (int i = lane; i < Sizes::kWarpRows * kWords; i += kWarp) {
            kept[i] = dropout.Kept<32>(dropout.Element(own_first + i / kWords, key + i % kWords * 32, args.tokens));
          }
          __syncwarp();
#pragma unroll
          for (int m = 0; m < kStrips; ++m) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
#pragma unroll
              for (int n = 0; n < kStep / 8; ++n) {
                const uint32_t word = kept[(16 * m + e / 2 * 8 + lane / 4) * kWords + n / 4];
                const bool is_kept = (word >> (n % 4 * 8 + lane % 4 * 2 + e % 2) & 1) != 0;
                scores[m][n][e] = is_kept ? scores[m][n][e] * args.kept : 0;
              }
            }
          }
        }
      }
      Accumulate<kDim, kStep>(sums, scores, value_tile, step, place);
    }
  }

  float inverse[kStrips][2];
  softmax.Finish(lse + head.statistics, own_first, args.tokens, inverse);
  __syncthreads();  // all have read their last tile
  StoreRows<kDim>(sums, inverse, shared + warp * Sizes::kWarpRows * Sizes::kRowBytes, y + head.merged, head.stride / 3,
                  own_first, args.tokens, args.head_size);
}

template <int kDim>
void Run(cudaStream_t stream, const FlashArguments& args, bf16* y, float* lse) {
  using Sizes = FlashSizes<kDim>;
  const bool general = args.scalars != nullptr || args.segments != nullptr;
  const size_t shared = Sizes::kStagesBytes + (general ? Sizes::kRows * 2 * sizeof(uint32_t) : 0);
  const unsigned grid = BlocksFor(args.tokens, Sizes::kRows) * static_cast<unsigned>(args.batch * args.heads);
  Launch(stream, general ? FlashForwardKernel<kDim, true, 32, 2> : FlashForwardKernel<kDim, false, Sizes::kTile, 2>,
         dim3(grid), dim3(kFlashThreads), shared, args, y, lse);
}

}  // namespace

void FlashForward(cudaStream_t stream, const FlashArguments& args, bf16* y, float* lse) {
  if (args.head_size <= 32) return Run<32>(stream, args, y, lse);
  if (args.head_size <= 64) return Run<64>(stream, args, y, lse);
  Run<128>(stream, args, y, lse);
}

}  // namespace gptc::cuda
