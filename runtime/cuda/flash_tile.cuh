// What the kernels of flash attention share: tiles of rows in shared memory, their pieces as operands of the tensor
// cores, and the masks.
//
// A tile holds rows of kDim bf16 elements, a row's 16-byte chunks permuted by the row's number such that the eight
// rows which one matrix of `ldmatrix` takes lie in different banks. Heads of fewer elements than kDim are padded with
// zeros, which add nothing to a product. A warp works on strips of 16·kStrips rows of what its accumulators hold;
// fragments are those of ptx::MmaBf16.
#ifndef GPTC_RUNTIME_CUDA_FLASH_TILE_CUH_
#define GPTC_RUNTIME_CUDA_FLASH_TILE_CUH_

#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "runtime/cuda/block.cuh"
#include "runtime/cuda/flash_attention.cuh"
#include "runtime/cuda/numeric.cuh"

namespace gptc::cuda {

inline constexpr float kLog2E = 1.44269504088896340736f, kLn2 = 0.69314718055994530942f;
inline constexpr int kFlashWarps = 4, kFlashThreads = kFlashWarps * kWarp;
// Tiles of the operand that a block walks along are in three stages: one is read while two arrive.
inline constexpr int kFlashStages = 3;

// The sizes of a kernel whose heads have up to kDim elements.
template <int kDim>
struct FlashSizes {
  static_assert(kDim == 32 || kDim == 64 || kDim == 128);
  // Rows of a warp: the more, the more products to a fragment that is read; but their sums must fit the registers.
  static constexpr int kStrips = kDim <= 64 ? 2 : 1;
  static constexpr int kWarpRows = 16 * kStrips;
  static constexpr int kRows = kWarpRows * kFlashWarps;  // of the block
  static constexpr int kTile = kDim <= 64 ? 64 : 32;     // rows of one stage
  static constexpr int kRowBytes = kDim * 2;
  static constexpr int kTileBytes = kTile * kRowBytes;  // a stage has two: k and v, or q and dy
  static constexpr int kRowsBytes = kRows * kRowBytes;
  static constexpr int kStagesBytes = kFlashStages * 2 * kTileBytes;
  static_assert(kRowsBytes <= 2 * kTileBytes);  // a block's own rows pass through a stage
};

// Where chunk `chunk` of row `row` stands.
template <int kDim>
__device__ __forceinline__ int TileOffset(int row, int chunk) {
  return row * kDim * 2 + ((chunk ^ (kDim == 32 ? (row >> 1) & 3 : row & 7)) << 4);
}

// A lane's place in the 16 by 16 pieces of a tile. `rows`: matrices 0 and 1 of a fragment are one above the other, as a
// operands need them, and b operands that lie [k, n] and are read transposed. `across`: they are side by side, for b
// operands that lie [n, k].
template <int kDim>
struct TileLane {
  int rows, across;
  __device__ __forceinline__ TileLane() {
    const int lane = threadIdx.x % kWarp;
    rows = TileOffset<kDim>(lane % 16, lane / 16);
    across = TileOffset<kDim>(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  }
  // The piece at `row`, a multiple of 16, and the 16 columns of this number.
  static __device__ __forceinline__ int At(int lane_offset, int row, int column16) {
    return row * kDim * 2 + (lane_offset ^ (column16 << 5));
  }
};

// A thread's part in copying rows of a matrix of `rows` rows, `columns` long, into tiles; what lies outside becomes 0.
// Places in the matrix are 32-bit numbers, relative to a pointer that is the same for all threads: of what the kernels
// lack most, registers, this takes two.
template <int kDim>
struct TileCopy {
  static constexpr int kChunks = kDim / 8, kStep = kFlashThreads / kChunks;  // rows from one of its chunks to the next
  const bf16* matrix;
  uint32_t stride;  // in elements
  uint32_t own;     // its chunk of row 0
  int valid;        // rows from its own on; 0 or less: its chunk lies behind the row's end

  __device__ __forceinline__ TileCopy(const bf16* matrix, int64_t stride, int rows, int columns)
      : matrix(matrix),
        stride(static_cast<uint32_t>(stride)),
        own(threadIdx.x / kChunks * static_cast<uint32_t>(stride) + threadIdx.x % kChunks * 8),
        valid(static_cast<int>(threadIdx.x % kChunks * 8) < columns ? rows - static_cast<int>(threadIdx.x / kChunks)
                                                                    : 0) {}
  // Starts copying rows first .. first + kRows - 1. All threads of the block take part.
  template <int kRows>
  __device__ __forceinline__ void Start(unsigned char* tile, int first) const {
    static_assert(kRows % kStep == 0 && kStep % 8 == 0);
    unsigned char* const to = tile + TileOffset<kDim>(threadIdx.x / kChunks, threadIdx.x % kChunks);
    const int left = valid - first;
#pragma unroll
    for (int i = 0; i < kRows / kStep; ++i) {
      ptx::CopyAsync16(to + i * kStep * kDim * 2, matrix + (own + (first + i * kStep) * stride), i * kStep < left);
    }
  }
};

// The a operands of a warp's rows: all of them in registers.
template <int kDim>
using RowFragments = uint32_t[FlashSizes<kDim>::kStrips][kDim / 16][4];

template <int kDim, int kStrips>
__device__ __forceinline__ void LoadRows(uint32_t (&fragments)[kStrips][kDim / 16][4], const unsigned char* tile,
                                         int row, const TileLane<kDim>& lane) {
#pragma unroll
  for (int m = 0; m < kStrips; ++m) {
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) ptx::LoadMatrix4(fragments[m][k], tile + lane.At(lane.rows, row + 16 * m, k));
  }
}

// sums[m][2·n], sums[m][2·n + 1] += a[m]·b for the 16 columns that the fragment b covers.
template <int kStrips, int kTiles>
__device__ __forceinline__ void MultiplyAdd(float (&sums)[kStrips][kTiles][4], int n, const uint32_t (&a)[4], int m,
                                            const uint32_t (&b)[4]) {
  const uint32_t left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
  ptx::MmaBf16(sums[m][2 * n], a, left, sums[m][2 * n]);
  ptx::MmaBf16(sums[m][2 * n + 1], a, right, sums[m][2 * n + 1]);
}

template <int kStrips, int kTiles>
__device__ __forceinline__ void Clear(float (&sums)[kStrips][kTiles][4]) {
#pragma unroll
  for (int m = 0; m < kStrips; ++m) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[m][n][e] = 0;
    }
  }
}

// scores += the warp's rows times the kColumns rows of `tile` from `row` on, transposed: a tile [.., kColumns] of q·kᵀ
// and its like.
template <int kDim, int kColumns>
__device__ __forceinline__ void MultiplyTransposed(float (&scores)[FlashSizes<kDim>::kStrips][kColumns / 8][4],
                                                   const RowFragments<kDim>& a, const unsigned char* tile, int row,
                                                   const TileLane<kDim>& lane) {
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      uint32_t b[4];
      ptx::LoadMatrix4(b, tile + lane.At(lane.across, row + 16 * n, k));
#pragma unroll
      for (int m = 0; m < FlashSizes<kDim>::kStrips; ++m) MultiplyAdd(scores, n, a[m][k], m, b);
    }
  }
}
// The same where the warp's rows, from `own_row` on, stand in shared memory.
template <int kDim, int kColumns>
__device__ __forceinline__ void MultiplyTransposed(float (&scores)[FlashSizes<kDim>::kStrips][kColumns / 8][4],
                                                   const unsigned char* own, int own_row, const unsigned char* tile,
                                                   int row, const TileLane<kDim>& lane) {
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    uint32_t a[FlashSizes<kDim>::kStrips][4];
#pragma unroll
    for (int m = 0; m < FlashSizes<kDim>::kStrips; ++m) {
      ptx::LoadMatrix4(a[m], own + lane.At(lane.rows, own_row + 16 * m, k));
    }
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      uint32_t b[4];
      ptx::LoadMatrix4(b, tile + lane.At(lane.across, row + 16 * n, k));
#pragma unroll
      for (int m = 0; m < FlashSizes<kDim>::kStrips; ++m) MultiplyAdd(scores, n, a[m], m, b);
    }
  }
}

// sums += weights · the kInner rows of `tile` from `row` on; the weights are rounded to bf16.
template <int kDim, int kInner>
__device__ __forceinline__ void Accumulate(float (&sums)[FlashSizes<kDim>::kStrips][kDim / 8][4],
                                           const float (&weights)[FlashSizes<kDim>::kStrips][kInner / 8][4],
                                           const unsigned char* tile, int row, const TileLane<kDim>& lane) {
#pragma unroll
  for (int k = 0; k < kInner / 16; ++k) {
    uint32_t a[FlashSizes<kDim>::kStrips][4];
#pragma unroll
    for (int m = 0; m < FlashSizes<kDim>::kStrips; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &weights[m][2 * k + i / 2][i % 2 * 2];
        a[m][i] = ptx::PackBf16(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      uint32_t b[4];
      ptx::LoadMatrix4<true>(b, tile + lane.At(lane.rows, row + 16 * k, n));
#pragma unroll
      for (int m = 0; m < FlashSizes<kDim>::kStrips; ++m) MultiplyAdd(sums, n, a[m], m, b);
    }
  }
}

// Writes the warp's sums, element (m, half) of a lane times factors[m][half], to rows first .. of a matrix like
// CopyTile's. They pass through the warp's own part of shared memory, 16·kStrips rows of a tile.
template <int kDim, int kStrips>
__device__ __forceinline__ void StoreRows(const float (&sums)[kStrips][kDim / 8][4], const float (&factors)[kStrips][2],
                                          unsigned char* staging, bf16* matrix, int64_t stride, int first, int rows,
                                          int columns) {
  constexpr int kChunks = kDim / 8, kStep = kWarp / kChunks;
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int m = 0; m < kStrips; ++m) {
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* pair = &sums[m][n][2 * half];
        const int row = 16 * m + 8 * half + lane / 4;
        *reinterpret_cast<uint32_t*>(staging + TileOffset<kDim>(row, n) + lane % 4 * 4) =
            ptx::PackBf16(pair[0] * factors[m][half], pair[1] * factors[m][half]);
      }
    }
  }
  __syncwarp();
  const int chunk = lane % kChunks;
#pragma unroll
  for (int i = 0; i < 16 * kStrips / kStep; ++i) {
    const int row = i * kStep + lane / kChunks;
    if (first + row >= rows || chunk * 8 >= columns) continue;
    StoreVector(matrix + (first + row) * stride + chunk * 8,
                LoadVector(reinterpret_cast<const bf16*>(staging + TileOffset<kDim>(row, chunk))));
  }
  __syncwarp();
}

// Scores of what a query does not see become `unseen`: keys behind it where causal, and those past the end. A warp's
// queries from `query` on by keys from `key` on.
template <int kStrips, int kTiles>
__device__ __forceinline__ void HideUnseen(float (&scores)[kStrips][kTiles][4], const FlashArguments& args, int query,
                                           int key, float unseen) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int m = 0; m < kStrips; ++m) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int own_query = query + 16 * m + e / 2 * 8 + lane / 4, own_key = key + lane % 4 * 2 + e % 2;
      const int end = args.causal ? min(own_query + 1, args.tokens) : args.tokens;
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        if (own_key + 8 * n >= end) scores[m][n][e] = unseen;
      }
    }
  }
}

// The softmax of a warp's rows as their scores come along. These are in units of log 2. Weights are
// 2^(score - reference), where the reference is a largest score seen before: it follows the largest only when that has
// grown by more than kGrowth, so sums are rescaled a few times in a row of tiles, and weights stay below 2^kGrowth.
// Both sides of y's quotient have the same reference.
template <int kStrips>
struct OnlineSoftmax {
  static constexpr float kGrowth = 8;
  float reference[kStrips][2], total[kStrips][2];  // of rows 16·m + 8·half + lane / 4

  __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        reference[m][half] = -1e30f;
        total[m][half] = 0;
      }
    }
  }

  // Scores, to be multiplied by `scale`, become weights; sums of earlier weights times values are rescaled with them.
  template <int kTiles, int kSums>
  __device__ __forceinline__ void Take(float (&scores)[kStrips][kTiles][4], float scale,
                                       float (&sums)[kStrips][kSums][4]) {
    float largest[kStrips][2];
    bool grew = false;
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float most = fmaxf(scores[m][0][2 * half], scores[m][0][2 * half + 1]);
#pragma unroll
        for (int n = 1; n < kTiles; ++n) {
          most = fmaxf(most, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        largest[m][half] = most * scale;
        grew |= largest[m][half] > reference[m][half] + kGrowth;
      }
    }
    if (__ballot_sync(0xffffffffu, grew) != 0) {
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float next = fmaxf(reference[m][half], largest[m][half]);
          const float factor = ptx::Exp2(reference[m][half] - next);
          reference[m][half] = next;
          total[m][half] *= factor;
#pragma unroll
          for (int n = 0; n < kSums; ++n) {
            sums[m][n][2 * half] *= factor;
            sums[m][n][2 * half + 1] *= factor;
          }
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          scores[m][n][e] = ptx::Exp2(fmaf(scores[m][n][e], scale, -reference[m][e / 2]));
          total[m][e / 2] += scores[m][n][e];
        }
      }
    }
  }

  // Writes lse of the rows from `query` on; `inverse`: what their sums are multiplied by.
  __device__ __forceinline__ void Finish(float* lse, int query, int tokens, float (&inverse)[kStrips][2]) const {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = total[m][half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const int row = query + 16 * m + 8 * half + lane / 4;
        if (lane % 4 == 0 && row < tokens) lse[row] = reference[m][half] * kLn2 + logf(sum);
        inverse[m][half] = 1 / sum;
      }
    }
  }
};

// y of a warp's rows, in the places of the fragments of dy that it is multiplied by; 0 past the end.
template <int kDim, int kStrips>
struct RowOutputs {
  float2 pairs[kStrips][kDim / 16][4];

  // `y`: the head's first element.
  __device__ __forceinline__ RowOutputs(const bf16* y, int64_t stride, int first, int rows, int columns) {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = first + 16 * m + i % 2 * 8 + lane / 4;
#pragma unroll
        for (int c = 0; c < kDim / 16; ++c) {
          const int column = 16 * c + i / 2 * 8 + lane % 4 * 2;
          pairs[m][c][i] = {0, 0};
          if (row >= rows || column >= columns) continue;
          const uint32_t pair = __ldg(reinterpret_cast<const unsigned*>(y + row * stride + column));
          pairs[m][c][i] = {BitsToFloat(pair << 16), BitsToFloat(pair & 0xffff0000u)};
        }
      }
    }
  }

  // Sums of dy·y of rows 16·m + 8·half + lane / 4.
  __device__ __forceinline__ void Dot(const uint32_t (&gradients)[kStrips][kDim / 16][4],
                                      float (&sums)[kStrips][2]) const {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float dot = 0;
#pragma unroll
        for (int c = 0; c < kDim / 16; ++c) {
#pragma unroll
          for (int i = half; i < 4; i += 2) {
            const uint32_t pair = gradients[m][c][i];
            dot = fmaf(BitsToFloat(pair << 16), pairs[m][c][i].x, dot);
            dot = fmaf(BitsToFloat(pair & 0xffff0000u), pairs[m][c][i].y, dot);
          }
        }
        dot += __shfl_xor_sync(0xffffffffu, dot, 1);
        dot += __shfl_xor_sync(0xffffffffu, dot, 2);
        sums[m][half] = dot;
      }
    }
  }
};

// One head of one sequence, and its dropout.
struct FlashHeadOf {
  int b, head, tokens;
  int64_t stride;       // of qkv's rows
  int64_t qkv, merged;  // the head's first element in qkv (its q; k and v are `width` and twice that further), in y
  int64_t statistics;   // its first row in lse
  __device__ __forceinline__ FlashHeadOf(const FlashArguments& args, int index) {
    b = index / args.heads;
    head = index % args.heads;
    tokens = args.tokens;
    const int64_t width = static_cast<int64_t>(args.heads) * args.head_size;
    stride = 3 * width;
    qkv = b * tokens * stride + head * args.head_size;
    merged = b * tokens * width + head * args.head_size;
    statistics = static_cast<int64_t>(index) * tokens;
  }
};

struct FlashDropout {
  PhiloxKey key;
  uint64_t sequence, step, first;  // `first`: the element of the head's first weight
  uint32_t threshold;
  __device__ __forceinline__ FlashDropout(const FlashArguments& args, const FlashHeadOf& head) {
    const auto scalar = [&](Scalar which) { return static_cast<uint64_t>(static_cast<int64_t>(args.scalars[which])); };
    key = DropoutKey(scalar(kSeed), args.op_key);
    sequence = scalar(kFirstSequence) + static_cast<uint64_t>(head.b);
    step = scalar(kStep);
    first = static_cast<uint64_t>(head.head) * static_cast<uint64_t>(head.tokens) * static_cast<uint64_t>(head.tokens);
    threshold = args.threshold;
  }
  __device__ __forceinline__ uint64_t Element(int query, int key_token, int tokens) const {
    return first + static_cast<uint64_t>(static_cast<int64_t>(query) * tokens + key_token);
  }
  // Bit i of the low four: whether element 4·block + i is kept.
  __device__ __forceinline__ uint32_t KeptOfBlock(uint64_t block) const {
    const PhiloxCounter words = Philox4x32(DropoutCounter(block, sequence, step), key);
    return (words[0] >= threshold ? 1 : 0) | (words[1] >= threshold ? 2 : 0) | (words[2] >= threshold ? 4 : 0) |
           (words[3] >= threshold ? 8 : 0);
  }
  // Bit i below kCount <= 32: whether element `element` + i is kept.
  template <int kCount>
  __device__ __forceinline__ uint32_t Kept(uint64_t element) const {
    const int shift = static_cast<int>(element % 4);
    uint64_t bits = 0;
#pragma unroll 1
    for (int i = 0; 4 * i < kCount + shift; ++i) {
      bits |= static_cast<uint64_t>(KeptOfBlock(element / 4 + i)) << (4 * i);
    }
    return static_cast<uint32_t>(bits >> shift);
  }
};

// The segment of a token; past the end that of the last.
__device__ __forceinline__ int SegmentOf(const int32_t* segments, int token, int tokens) {
  return __ldg(segments + (token < tokens ? token : tokens - 1));
}

// The segments of a warp's rows, to pass over what none of them sees: with whole documents in a sequence, most of it.
struct SegmentRange {
  const int32_t* segments;  // of the sequence; null: there are none
  int tokens, least = 0, most = 0;
  // kCount <= 32 rows from `first` on.
  template <int kCount>
  static __device__ __forceinline__ SegmentRange Of(const FlashArguments& args, const FlashHeadOf& head, int first) {
    SegmentRange range = {nullptr, args.tokens};
    if (args.segments == nullptr) return range;
    range.segments = args.segments + static_cast<int64_t>(head.b) * args.tokens;
    range.least = range.most = SegmentOf(range.segments, first + threadIdx.x % kCount, args.tokens);
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      range.least = min(range.least, __shfl_xor_sync(0xffffffffu, range.least, offset));
      range.most = max(range.most, __shfl_xor_sync(0xffffffffu, range.most, offset));
    }
    return range;
  }
  // Whether kCount <= 32 tokens from `first` on may be of one segment with any of the rows.
  template <int kCount>
  __device__ __forceinline__ bool MayMeet(int first) const {
    if (segments == nullptr) return true;
    const int other = SegmentOf(segments, first + threadIdx.x % kCount, tokens);
    return __ballot_sync(0xffffffffu, least <= other && other <= most) != 0;
  }
};

}  // namespace gptc::cuda

#endif  // GPTC_RUNTIME_CUDA_FLASH_TILE_CUH_
