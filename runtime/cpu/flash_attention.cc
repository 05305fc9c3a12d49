// flash_attention and flash_attention_backward (flash_attention.h has the mathematics). qkv: [B, T, 3C], q, k and v of
// all heads side by side; y: [B, T, C]; lse: [B, heads, T] f32. f32 or bf16 elements. Products of bf16 are of bf16,
// weights and gradients of scores rounded to it, where the machine has instructions for that (bf16_tile.h); all other
// arithmetic is in f32.
//
// Each task copies its head's k and v (the backward: dk and dv too) to scratch that its core's cache holds, where rows
// stand close together and end on a vector's boundary; the products then need no special case for a row's end. Reads
// qkv once, writes y once. Parallel over heads and, where these are few, over blocks of queries.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/flash_attention.cc"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"
#include "runtime/cpu/flash_in_f32-inl.h"
#include "runtime/cpu/flash_softmax-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_FLASH_ATTENTION_ONCE
#define GPTC_RUNTIME_CPU_FLASH_ATTENTION_ONCE
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ir/base/scalars.h"
#include "runtime/cpu/flash_attention.h"
#include "runtime/cpu/flash_in_bf16.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/unsupported.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// The tiles of one block of queries that count: those of keys that they may see.
template <typename Body>
void ForTilesOf(const FlashHead& h, int64_t i, const Body& body) {
  const int64_t blocks = ChunkCount(h.tokens, kFlashBlock);
  FlashTile tile{.query = i * kFlashBlock};
  tile.queries = std::min(kFlashBlock, h.tokens - tile.query);
  std::optional<Segments> of_queries, of_keys;
  if (h.segments != nullptr) of_queries.emplace(h.segments + tile.query, tile.queries);
  for (int64_t j = 0; j < (h.causal ? i + 1 : blocks); ++j) {
    tile.key = j * kFlashBlock;
    tile.keys = std::min(kFlashBlock, h.tokens - tile.key);
    tile.diagonal = h.causal && i == j;
    if (h.segments != nullptr && !of_keys.emplace(h.segments + tile.key, tile.keys).MayMeet(*of_queries)) continue;
    const auto hide = [&](float* scores) {
      if (h.segments != nullptr) HideOtherSegments(*of_queries, *of_keys, tile.queries, tile.keys, scores);
    };
    body(tile, hide);
  }
}

// `Products` is ForwardInF32 or ForwardInBf16.
template <typename Products>
void Forward(const FlashHead& h) {
  using T = typename Products::Element;
  const DF d;
  FlashPieces pieces(h.scratch);
  Products products(h, pieces);
  float* const scores = pieces.Take(kFlashBlock * kFlashBlock);
  float* const mask = pieces.Take(kFlashBlock * kFlashBlock);
  float* const largest = pieces.Take(kFlashBlock);
  float* const sums = pieces.Take(kFlashBlock);
  float* const factors = pieces.Take(kFlashBlock);

  products.PackKeysAndValues();
  for (int64_t i = h.part; i < ChunkCount(h.tokens, kFlashBlock); i += h.parts) {
    const int64_t query = i * kFlashBlock, queries = std::min(kFlashBlock, h.tokens - query);
    products.PackQueries(query, queries);
    bool first = true;
    ForTilesOf(h, i, [&](const FlashTile& tile, const auto& hide) HWY_ATTR {
      products.Scores(tile, scores);
      hide(scores);
      SoftmaxTile(scores, queries, tile.keys, tile.diagonal, first, largest, sums, factors);
      if (h.dropout != nullptr) {
        FillMask(h, query, queries, tile.key, tile.keys, mask);
        MaskTile(mask, queries, tile.keys, tile.diagonal, scores);
      }
      products.AddValues(tile, first ? Into::kNew : Into::kScaledSum, scores, factors);
      first = false;
    });
    for (int64_t lane = 0; lane < queries; lane += kLanes) {
      const VF sum = hn::Load(d, sums + lane);
      const VF lse = hn::MulAdd(hn::Load(d, largest + lane), hn::Set(d, kLn2), LogOf(sum));
      hn::Store(lse, d, largest + lane);
      hn::Store(hn::Div(hn::Set(d, 1.0f), sum), d, sums + lane);
    }
    std::memcpy(h.lse + query, largest, sizeof(float) * queries);
    UnpackRows(products.Result(queries), products.padded(), queries, h.head_size, sums, false,
               static_cast<T*>(h.y) + query * h.width, h.width);
  }
}

// `Products` is BackwardInF32 or BackwardInBf16.
template <typename Products>
void Backward(const FlashHead& h) {
  using T = typename Products::Element;
  FlashPieces pieces(h.scratch);
  Products products(h, pieces);
  float* const scores = pieces.Take(kFlashBlock * kFlashBlock);
  float* const gradients = pieces.Take(kFlashBlock * kFlashBlock);
  float* const mask = pieces.Take(kFlashBlock * kFlashBlock);
  float* const lse = pieces.Take(kFlashBlock);
  float* const sums = pieces.Take(kFlashBlock);

  const int64_t stride = 3 * h.width, size = h.head_size, blocks = ChunkCount(h.tokens, kFlashBlock);
  products.PackKeysAndValues();
  // Which block of queries is the first to meet one of keys depends on the segments.
  if (h.segments != nullptr) products.ClearKeys();
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t query = i * kFlashBlock, queries = std::min(kFlashBlock, h.tokens - query);
    const bool own_queries = i % h.parts == h.part;
    if (!own_queries && h.causal && i < h.part) continue;  // all keys that it sees belong to others
    products.PackQueries(query, queries);
    RowProducts(static_cast<const T*>(h.dy) + query * h.width, static_cast<const T*>(h.y) + query * h.width, h.width,
                queries, size, sums);
    std::fill(sums + queries, sums + RoundUp(queries, kLanes), 0.0f);
    std::memset(lse, 0, sizeof(float) * kFlashBlock);
    for (int64_t r = 0; r < queries; ++r) lse[r] = h.lse[query + r] * kLog2E;
    bool first = true;
    ForTilesOf(h, i, [&](const FlashTile& tile, const auto& hide) {
      const int64_t j = tile.key / kFlashBlock;
      const bool own_keys = j % h.parts == h.part;
      if (!own_queries && !own_keys) return;
      products.Scores(tile, scores);
      products.WeightGradients(tile, gradients);
      hide(scores);
      if (h.dropout != nullptr) {
        FillMask(h, query, queries, tile.key, tile.keys, mask);
        SoftmaxBackwardTile<true>(scores, gradients, mask, queries, tile.keys, tile.diagonal, lse, sums);
      } else {
        SoftmaxBackwardTile<false>(scores, gradients, mask, queries, tile.keys, tile.diagonal, lse, sums);
      }
      products.Ready(tile, scores, gradients);
      if (own_keys) {
        const bool first_of_keys = h.segments == nullptr && i == (h.causal ? j : 0);
        products.AddToKeys(tile, first_of_keys ? Into::kNew : Into::kSum, scores, gradients);
      }
      if (own_queries) {
        products.AddToQueries(tile, first ? Into::kNew : Into::kSum, gradients);
        first = false;
      }
    });
    if (own_queries) {
      UnpackRows(products.QueryGradients(queries), products.padded(), queries, size, &h.scale, true,
                 static_cast<T*>(h.dq) + query * stride, stride);
    }
  }
  const float one = 1, key_factor = products.key_factor();
  for (int64_t j = h.part; j < blocks; j += h.parts) {
    const int64_t key = j * kFlashBlock, keys = std::min(kFlashBlock, h.tokens - key);
    UnpackRows(products.KeyGradients(key), products.padded(), keys, size, &key_factor, true,
               static_cast<T*>(h.dk) + key * stride, stride);
    UnpackRows(products.ValueGradients(key), products.padded(), keys, size, &one, true,
               static_cast<T*>(h.dv) + key * stride, stride);
  }
}

void FlashForwardF32(const FlashHead& head) { Forward<ForwardInF32<float>>(head); }
void FlashBackwardF32(const FlashHead& head) { Backward<BackwardInF32<float>>(head); }
#if HWY_TARGET <= HWY_AVX3
void FlashForwardBf16(const FlashHead& head) {
  HasBf16Tiles() ? Forward<ForwardInBf16>(head) : Forward<ForwardInF32<Bf16>>(head);
}
void FlashBackwardBf16(const FlashHead& head) {
  HasBf16Tiles() ? Backward<BackwardInBf16>(head) : Backward<BackwardInF32<Bf16>>(head);
}
#else
void FlashForwardBf16(const FlashHead& head) { Forward<ForwardInF32<Bf16>>(head); }
void FlashBackwardBf16(const FlashHead& head) { Backward<BackwardInF32<Bf16>>(head); }
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {

namespace {

// Floats that a head's copies and tiles take, whichever products it goes by: `whole` matrices of a row a token,
// `blocks` of a row a query, `tiles` of scores, and statistics.
int64_t Scratch(int64_t tokens, int64_t head_size, int64_t whole, int64_t blocks, int64_t tiles) {
  const int64_t padded = RoundUp(head_size, kFlashPad);
  return whole * RoundUp(tokens, kFlashBlock) * padded + blocks * kFlashBlock * padded +
         tiles * kFlashBlock * kFlashBlock + 3 * kFlashBlock;
}

}  // namespace

int64_t FlashForwardScratch(int64_t tokens, int64_t head_size) { return Scratch(tokens, head_size, 2, 4, 3); }
int64_t FlashBackwardScratch(int64_t tokens, int64_t head_size) { return Scratch(tokens, head_size, 4, 5, 5); }

namespace {

HWY_EXPORT(FlashForwardF32);
HWY_EXPORT(FlashForwardBf16);
HWY_EXPORT(FlashBackwardF32);
HWY_EXPORT(FlashBackwardBf16);

// Runs `kernel` for every head of every sequence; `fill` sets the pointers of one, given its sequence, its head and the
// byte offsets of its first element in qkv and in y. The optional operands begin at `options`.
template <typename Fill>
BoundKernel HeadLoop(const KernelArgs& args, const TensorView& qkv, size_t options, void (*kernel)(const FlashHead&),
                     int64_t scratch_elements, int64_t products, Fill fill) {
  const int64_t batch = qkv.dim(0), tokens = qkv.dim(1), width = qkv.dim(2) / 3;
  const int64_t heads = args.attributes.Int("heads"), head_size = width / heads;
  const double rate = args.attributes.Double("rate");
  FlashHead common;
  common.tokens = tokens;
  common.width = width;
  common.head_size = head_size;
  common.scale = static_cast<float>(args.attributes.Double("scale"));
  common.causal = args.attributes.Bool("causal");
  // Some tasks to each thread; a head in one piece reads and copies k and v once.
  const int64_t threads = omp_get_max_threads(), blocks = ChunkCount(tokens, kFlashBlock);
  const int64_t count = batch * heads;
  const int64_t parts = count == 0 || count >= 4 * threads || threads == 1
                            ? 1
                            : std::clamp<int64_t>(ChunkCount(4 * threads, count), 1, std::max<int64_t>(1, blocks));
  common.parts = parts;
  args.scratch.Request(sizeof(float) * static_cast<size_t>(threads * scratch_elements), threads);
  const int64_t element = SizeOf(qkv.type.dtype);
  const int64_t grain = GrainFor(products * tokens * tokens * head_size / (32 * parts));
  const double* scalars = rate > 0 ? args.input(options++).as<const double>() : nullptr;
  const int32_t* segments = args.has(options) ? args.input(options).as<const int32_t>() : nullptr;
  return [=, op_key = args.attributes.Int("key"), scratch = &args.scratch] {
    FlashDropout dropout;
    if (rate > 0) {
      const auto scalar = [&](Scalar which) { return static_cast<uint64_t>(static_cast<int64_t>(scalars[which])); };
      dropout.key = DropoutKey(scalar(kSeed), op_key);
      dropout.sequence = scalar(kFirstSequence);
      dropout.step = scalar(kStep);
      dropout.threshold = DropoutThreshold(rate);
      dropout.kept = static_cast<float>(1 / (1 - rate));
    }
    ParallelForUneven(count * parts, grain, [&](int64_t begin, int64_t end) {
      float* own = static_cast<float*>(scratch->data()) + omp_get_thread_num() * scratch_elements;
      for (int64_t item = begin; item < end; ++item) {
        const int64_t b = item / parts / heads, head = item / parts % heads;
        FlashHead h = common;
        h.part = item % parts;
        h.scratch = own;
        FlashDropout mask = dropout;
        mask.sequence += static_cast<uint64_t>(b);
        mask.first = static_cast<uint64_t>(head) * static_cast<uint64_t>(tokens) * static_cast<uint64_t>(tokens);
        if (rate > 0) h.dropout = &mask;
        if (segments != nullptr) h.segments = segments + b * tokens;
        const int64_t packed = (b * tokens * 3 * width + head * head_size) * element;
        h.q = qkv.as<char>() + packed;
        h.k = qkv.as<char>() + packed + width * element;
        h.v = qkv.as<char>() + packed + 2 * width * element;
        fill(h, (b * heads + head) * tokens, packed, (b * tokens * width + head * head_size) * element,
             width * element);
        kernel(h);
      }
    });
  };
}

bool HasKernel(const TensorView& qkv) { return qkv.type.dtype == DType::kF32 || qkv.type.dtype == DType::kBF16; }

}  // namespace

StatusOr<BoundKernel> BindCpuFlashAttention(const KernelArgs& args) {
  const TensorView &qkv = args.input(0), &y = args.result(0), &lse = args.result(1);
  if (!HasKernel(qkv)) return Unsupported("flash_attention", args, "f32 and bf16");
  const auto kernel =
      qkv.type.dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(FlashForwardF32) : HWY_DYNAMIC_DISPATCH(FlashForwardBf16);
  const int64_t scratch = FlashForwardScratch(qkv.dim(1), qkv.dim(2) / 3 / args.attributes.Int("heads"));
  return HeadLoop(args, qkv, 1, kernel, scratch, 2, [=](FlashHead& h, int64_t row, int64_t, int64_t at, int64_t) {
    h.y = y.as<char>() + at;
    h.lse = lse.as<float>() + row;
  });
}

StatusOr<BoundKernel> BindCpuFlashAttentionBackward(const KernelArgs& args) {
  const TensorView &dy = args.input(0), &qkv = args.input(1), &y = args.input(2), &lse = args.input(3);
  const TensorView& dqkv = args.result();
  if (!HasKernel(qkv)) return Unsupported("flash_attention_backward", args, "f32 and bf16");
  const auto kernel =
      qkv.type.dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(FlashBackwardF32) : HWY_DYNAMIC_DISPATCH(FlashBackwardBf16);
  const int64_t scratch = FlashBackwardScratch(qkv.dim(1), qkv.dim(2) / 3 / args.attributes.Int("heads"));
  return HeadLoop(args, qkv, 4, kernel, scratch, 5,
                  [=](FlashHead& h, int64_t row, int64_t packed, int64_t at, int64_t width) {
                    h.dy = dy.as<char>() + at;
                    h.y = y.as<char>() + at;
                    h.lse = lse.as<float>() + row;
                    h.dq = dqkv.as<char>() + packed;
                    h.dk = dqkv.as<char>() + packed + width;
                    h.dv = dqkv.as<char>() + packed + 2 * width;
                  });
}

}  // namespace gptc
#endif  // HWY_ONCE
