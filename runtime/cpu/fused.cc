// fused: a region of elementwise ops and row reductions, as a tile machine (fused_program.h): step by step over tiles
// of 2,048 elements or one whole row, so that what stands between the operands and the results never leaves the L1
// cache.
//
// f32, bf16 and bool; all arithmetic in f32, by the functions of the ops' own kernels; sums of rows in f32 blocks whose
// totals meet in f64. Totals over the rows are sums of parts of rows, added in order: where parts begin depends on the
// shape alone. A result may lie over an operand of its type: a tile is read before it is written.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/fused.cc"
#include "runtime/cpu/fused_program.h"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/activation-inl.h"
#include "runtime/cpu/elementwise-inl.h"
#include "runtime/cpu/reduction-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_FUSED_ONCE
#define GPTC_RUNTIME_CPU_FUSED_ONCE
#include <memory>

#include "runtime/cpu/convert.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"

namespace gptc {
namespace {

// Rows [row, row + rows) of the space, of each the elements [start, start + width).
struct FusedTile {
  int64_t row, rows, start, width;
  uintptr_t bases[3];  // of memory: 0; of the thread's slots; of the part's partials
};

}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE void Compare(FusedStep::Comparison order, const float* a, bool a_steps, const float* b, bool b_steps,
                        float* y, size_t n) {
  const VF one = hn::Set(DF(), 1.0f);
  const auto map = [&](const auto& f) HWY_ATTR { MapRow2(a, a_steps, b, b_steps, y, n, f); };
  switch (order) {
    case FusedStep::Comparison::kEq:
      return map([=](VF u, VF v) HWY_ATTR { return hn::IfThenElseZero(hn::Eq(u, v), one); });
    case FusedStep::Comparison::kNe:
      return map([=](VF u, VF v) HWY_ATTR { return hn::IfThenZeroElse(hn::Eq(u, v), one); });
    case FusedStep::Comparison::kLt:
      return map([=](VF u, VF v) HWY_ATTR { return hn::IfThenElseZero(hn::Lt(u, v), one); });
    case FusedStep::Comparison::kLe:
      return map([=](VF u, VF v) HWY_ATTR { return hn::IfThenElseZero(hn::Le(u, v), one); });
    case FusedStep::Comparison::kGt:
      return map([=](VF u, VF v) HWY_ATTR { return hn::IfThenElseZero(hn::Gt(u, v), one); });
    case FusedStep::Comparison::kGe:
      return map([=](VF u, VF v) HWY_ATTR { return hn::IfThenElseZero(hn::Ge(u, v), one); });
  }
}

HWY_INLINE void Select(const float* condition, const float* a, const float* b, float* y, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  const auto choose = [](VF c, VF u, VF v) HWY_ATTR { return hn::IfThenElse(hn::Eq(c, hn::Zero(DF())), v, u); };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    StoreFloats(choose(LoadFloats(condition + i), LoadFloats(a + i), LoadFloats(b + i)), y + i);
  if (i < n) {
    const size_t rest = n - i;
    StoreSome(choose(LoadSome(condition + i, rest), LoadSome(a + i, rest), LoadSome(b + i, rest)), y + i, rest);
  }
}

HWY_INLINE void LoadRow(DType dtype, const std::byte* x, float* y, size_t n) {
  const auto same = [](VF v) HWY_ATTR { return v; };
  if (dtype == DType::kF32) return MapRow(reinterpret_cast<const float*>(x), y, n, same);
  if (dtype == DType::kBF16) return MapRow(reinterpret_cast<const Bf16*>(x), y, n, same);
  for (size_t i = 0; i < n; ++i) y[i] = x[i] != std::byte{0} ? 1.0f : 0.0f;
}

HWY_INLINE void StoreRow(DType dtype, const float* x, std::byte* y, size_t n) {
  const auto same = [](VF v) HWY_ATTR { return v; };
  if (dtype == DType::kF32) return MapRow(x, reinterpret_cast<float*>(y), n, same);
  if (dtype == DType::kBF16) return MapRow(x, reinterpret_cast<Bf16*>(y), n, same);
  for (size_t i = 0; i < n; ++i) y[i] = std::byte{x[i] != 0};
}

// The tile's first element in a place.
HWY_INLINE std::byte* Address(const FusedProgram& p, const FusedTile& tile, const FusedPlace& place) {
  const int64_t row =
      HWY_LIKELY(place.dense || place.scalar) ? tile.row * place.row_bytes : p.RowOffset(place, tile.row);
  return reinterpret_cast<std::byte*>(tile.bases[static_cast<size_t>(place.kind)] + place.address +
                                      static_cast<uintptr_t>(row + tile.start * place.start_bytes));
}

HWY_INLINE void LoadTile(const FusedProgram& p, const FusedTile& tile, const FusedPlace& from, float* y) {
  const size_t n = from.inner ? static_cast<size_t>(tile.width) : 1;
  if (from.dense) return LoadRow(from.dtype, Address(p, tile, from), y, n * static_cast<size_t>(tile.rows));
  FusedTile row = tile;
  for (int64_t r = 0; r < tile.rows; ++r, ++row.row)
    LoadRow(from.dtype, Address(p, row, from), y + static_cast<size_t>(r) * n, n);
}

void RunTile(const FusedProgram& p, const FusedTile& tile) {
  using Code = FusedStep::Code;
  const auto rows = static_cast<size_t>(tile.rows), width = static_cast<size_t>(tile.width);
  for (const FusedStep& step : p.steps) {
    const size_t n = step.column ? rows : rows * width;
    std::byte* const target = Address(p, tile, p.places[step.y]);
    float* const y = reinterpret_cast<float*>(target);
    const auto operand = [&](int k) { return reinterpret_cast<const float*>(Address(p, tile, p.places[step.in[k]])); };
    switch (step.code) {
      case Code::kUnary:
        UnaryRow(static_cast<Unary>(step.function), operand(0), y, n);
        break;
      case Code::kActivation:
        ForwardRow(static_cast<Activation>(step.function), operand(0), y, n);
        break;
      case Code::kBinary:
        BinaryRow(static_cast<Binary>(step.function), operand(0), step.stepping[0], operand(1), step.stepping[1], y, n);
        break;
      case Code::kCompare:
        Compare(static_cast<FusedStep::Comparison>(step.function), operand(0), step.stepping[0], operand(1),
                step.stepping[1], y, n);
        break;
      case Code::kGeluBackward:
        GeluBackwardRow(step.function != 0, operand(0), operand(1), y, n);
        break;
      case Code::kSelect:
        Select(operand(0), operand(1), operand(2), y, n);
        break;
      case Code::kTest: {
        const VF one = hn::Set(DF(), 1.0f);
        MapRow(operand(0), y, n, [=](VF v) HWY_ATTR { return hn::IfThenZeroElse(hn::Eq(v, hn::Zero(DF())), one); });
        break;
      }
      case Code::kLoad:
        LoadTile(p, tile, p.places[step.in[0]], y);
        break;
      case Code::kStore:
        StoreRow(p.places[step.y].dtype, operand(0), target, n);
        break;
      case Code::kSpread: {
        const float* const a = operand(0);
        if (!step.stepping[0]) {
          std::fill_n(y, n, *a);
        } else {
          for (size_t r = 0; r < rows; ++r) std::fill_n(y + r * width, width, a[r]);
        }
        break;
      }
      case Code::kReduce: {
        const auto kind = static_cast<Reduction>(step.function);
        const float* const a = operand(0);
        for (size_t r = 0; r < rows; ++r) {
          const double total = ReduceRun(kind, a + r * width, width);
          y[r] = static_cast<float>(kind == Reduction::kMean ? total / static_cast<double>(width) : total);
        }
        break;
      }
      case Code::kAccumulate: {
        const float* const a = operand(0);
        for (size_t r = 0; r < rows; ++r) BinaryRow(Binary::kAdd, y, true, a + r * width, true, y, width);
        break;
      }
    }
  }
}

void JoinF32(const float* parts, int64_t stride, int64_t count, float* y, size_t n) {
  JoinColumns(Reduction::kSum, parts, stride, count, 1.0f, y, n);
}
void JoinBf16(const float* parts, int64_t stride, int64_t count, Bf16* y, size_t n) {
  JoinColumns(Reduction::kSum, parts, stride, count, 1.0f, y, n);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(RunTile);
HWY_EXPORT(JoinF32);
HWY_EXPORT(JoinBf16);

// Rows that make one part of the totals: at most 64 parts of at least 16 rows, each of whole tiles.
int64_t RowsOfPart(const FusedProgram& p) {
  if (p.totals.empty()) return p.tile_rows;
  const int64_t rows = std::max<int64_t>(16, ChunkCount(p.rows, 64));
  return ChunkCount(rows, p.tile_rows) * p.tile_rows;
}

}  // namespace

StatusOr<BoundKernel> BindCpuFused(const KernelArgs& args) {
  ASSIGN_OR_RETURN(FusedProgram compiled, CompileFusedProgram(args));
  const auto program = std::make_shared<const FusedProgram>(std::move(compiled));
  const FusedProgram& p = *program;
  const int64_t part_rows = RowsOfPart(p), parts = ChunkCount(p.rows, part_rows);
  const int64_t pieces = p.width == 0 ? 1 : ChunkCount(p.width, p.tile_width);
  const auto totals = static_cast<int64_t>(p.totals.size());
  ScratchLayout layout;
  const int64_t thread_bytes = p.slots * p.slot_bytes, part_bytes = totals * p.partial_bytes;
  const int64_t threads = omp_get_max_threads();
  layout.Add(static_cast<size_t>(thread_bytes * threads));
  const size_t partials_at = layout.Add(static_cast<size_t>(parts * part_bytes));
  args.scratch.Request(layout.bytes(), threads);

  const auto run = HWY_DYNAMIC_DISPATCH(RunTile);
  return BoundKernel([=, pool = &args.scratch] {
    std::byte* const scratch = static_cast<std::byte*>(pool->data());
    std::byte* const partials = scratch + partials_at;
    const FusedProgram& q = *program;
    const int64_t grain = GrainFor(std::min(part_rows, q.rows) * q.tile_width * q.work);
    ParallelFor(parts * pieces, grain, [&](int64_t begin, int64_t end) {
      std::byte* const slots = scratch + thread_bytes * omp_get_thread_num();
      for (int64_t item = begin; item < end; ++item) {
        const int64_t part = item / pieces, start = (item - part * pieces) * q.tile_width;
        const int64_t width = std::min(q.tile_width, q.width - start);
        const int64_t first = part * part_rows, last = std::min(q.rows, first + part_rows);
        std::byte* const own = partials + part * part_bytes;
        for (int64_t t = 0; t < totals; ++t)
          std::fill_n(reinterpret_cast<float*>(own + t * q.partial_bytes) + start, width, 0.0f);
        const uintptr_t bases[] = {0, reinterpret_cast<uintptr_t>(slots), reinterpret_cast<uintptr_t>(own)};
        for (int64_t row = first; row < last; row += q.tile_rows)
          run(q, {row, std::min(q.tile_rows, last - row), start, width, {bases[0], bases[1], bases[2]}});
      }
    });
    for (int64_t t = 0; t < totals; ++t) {
      const TensorView& y = q.totals[static_cast<size_t>(t)];
      if (parts == 0) std::memset(y.data, 0, y.bytes());
      if (parts == 0) continue;
      const int64_t stride = part_bytes / static_cast<int64_t>(sizeof(float));
      ParallelFor(q.width, GrainFor(parts), [&](int64_t begin, int64_t end) {
        const float* const from = reinterpret_cast<const float*>(partials + t * q.partial_bytes) + begin;
        const auto n = static_cast<size_t>(end - begin);
        if (y.type.dtype == DType::kF32) {
          HWY_DYNAMIC_DISPATCH(JoinF32)(from, stride, parts, y.as<float>() + begin, n);
        } else {
          HWY_DYNAMIC_DISPATCH(JoinBf16)(from, stride, parts, y.as<Bf16>() + begin, n);
        }
      });
    }
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
