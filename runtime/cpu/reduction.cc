// Sums, means and maxima over any axes, of f32 and bf16 (accumulated in f32), f64 and i32 (sums wrap; no mean). A sum
// of bf16 is bf16 or, widened, f32.
//
// Neighbouring axes that are both reduced or both kept are merged, which leaves three forms:
//   rows     [outer, reduced]          blocks of 4096 in f32 (four accumulators each), their sums in f64
//   columns  [outer, reduced, inner]   whole rows added to partial rows, four at a time, then the partial rows in order
//   any      everything else, and other dtypes: element by element, in f64 (i32: in integers)
// Where partials begin and end depends on the shape alone, so that the bits do not depend on the number of threads. A
// maximum is NaN where any element is. Nothing to reduce gives 0 (sum), NaN (mean), -inf (maximum; of i32 the least
// integer).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/reduction.cc"
#include "runtime/cpu/reduction.h"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/reduction-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_REDUCTION_ONCE
#define GPTC_RUNTIME_CPU_REDUCTION_ONCE
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {
constexpr int64_t kPieceBlocks = 8;     // blocks of a row to a work item
constexpr int64_t kColumnBlock = 2048;  // columns whose partial sums stay in L1
}  // namespace
}  // namespace gptc
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

double RunF32(Reduction kind, const float* x, size_t n) { return ReduceRun(kind, x, n); }
double RunBf16(Reduction kind, const Bf16* x, size_t n) { return ReduceRun(kind, x, n); }

// partial[c] = x[0, c] ∘ x[1, c] ∘ ... over `rows` rows of `stride` elements.
template <typename T, typename Step>
HWY_INLINE void ReduceColumns(const T* x, int64_t stride, int64_t rows, float* partial, size_t n, Step step) {
  int64_t r = 0;
  if (rows % 4 != 0) {
    MapRow(x, partial, n, [](VF v) HWY_ATTR { return v; });
    for (r = 1; r < rows % 4; ++r) {
      const T* row = x + r * stride;
      const size_t lanes = hn::Lanes(DF());
      size_t i = 0;
      for (; i + lanes <= n; i += lanes) StoreFloats(step(LoadFloats(partial + i), LoadFloats(row + i)), partial + i);
      if (i < n) StoreSome(step(LoadSome(partial + i, n - i), LoadSome(row + i, n - i)), partial + i, n - i);
    }
  } else {
    std::fill(partial, partial + n, Step::kNeutral);
  }
  for (; r < rows; r += 4) {
    const T* const r0 = x + r * stride;
    const T* const r1 = r0 + stride;
    const T* const r2 = r1 + stride;
    const T* const r3 = r2 + stride;
    const size_t lanes = hn::Lanes(DF());
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      const VF four = step(step(LoadFloats(r0 + i), LoadFloats(r1 + i)), step(LoadFloats(r2 + i), LoadFloats(r3 + i)));
      StoreFloats(step(LoadFloats(partial + i), four), partial + i);
    }
    if (i < n) {
      const size_t k = n - i;
      const VF four =
          step(step(LoadSome(r0 + i, k), LoadSome(r1 + i, k)), step(LoadSome(r2 + i, k), LoadSome(r3 + i, k)));
      StoreSome(step(LoadSome(partial + i, k), four), partial + i, k);
    }
  }
}
template <typename T>
HWY_INLINE void ColumnsOf(Reduction kind, const T* x, int64_t stride, int64_t rows, float* partial, size_t n) {
  if (kind == Reduction::kMax) return ReduceColumns(x, stride, rows, partial, n, MaxStep());
  ReduceColumns(x, stride, rows, partial, n, SumStep());
}
void ColumnsF32(Reduction kind, const float* x, int64_t stride, int64_t rows, float* partial, size_t n) {
  ColumnsOf(kind, x, stride, rows, partial, n);
}
void ColumnsBf16(Reduction kind, const Bf16* x, int64_t stride, int64_t rows, float* partial, size_t n) {
  ColumnsOf(kind, x, stride, rows, partial, n);
}

void JoinF32(Reduction kind, const float* partials, int64_t stride, int64_t count, float scale, float* y, size_t n) {
  JoinColumns(kind, partials, stride, count, scale, y, n);
}
void JoinBf16(Reduction kind, const float* partials, int64_t stride, int64_t count, float scale, Bf16* y, size_t n) {
  JoinColumns(kind, partials, stride, count, scale, y, n);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(RunF32);
HWY_EXPORT(RunBf16);
HWY_EXPORT(ColumnsF32);
HWY_EXPORT(ColumnsBf16);
HWY_EXPORT(JoinF32);
HWY_EXPORT(JoinBf16);

double Run(Reduction kind, const float* x, size_t n) { return HWY_DYNAMIC_DISPATCH(RunF32)(kind, x, n); }
double Run(Reduction kind, const Bf16* x, size_t n) { return HWY_DYNAMIC_DISPATCH(RunBf16)(kind, x, n); }
void Columns(Reduction kind, const float* x, int64_t stride, int64_t rows, float* partial, size_t n) {
  HWY_DYNAMIC_DISPATCH(ColumnsF32)(kind, x, stride, rows, partial, n);
}
void Columns(Reduction kind, const Bf16* x, int64_t stride, int64_t rows, float* partial, size_t n) {
  HWY_DYNAMIC_DISPATCH(ColumnsBf16)(kind, x, stride, rows, partial, n);
}
void JoinPartials(Reduction kind, const float* partials, int64_t stride, int64_t count, float scale, float* y,
                  size_t n) {
  HWY_DYNAMIC_DISPATCH(JoinF32)(kind, partials, stride, count, scale, y, n);
}
void JoinPartials(Reduction kind, const float* partials, int64_t stride, int64_t count, float scale, Bf16* y,
                  size_t n) {
  HWY_DYNAMIC_DISPATCH(JoinBf16)(kind, partials, stride, count, scale, y, n);
}
void Write(double value, float& to) { to = static_cast<float>(value); }
void Write(double value, Bf16& to) { to.bits = Bf16FromFloat(static_cast<float>(value)); }

// Merged axes, alternately kept and reduced.
struct Group {
  int64_t size;
  bool reduced;
};
std::vector<Group> MergedGroups(const Shape& shape, const std::vector<int64_t>& axes) {
  std::vector<Group> groups;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const bool reduced = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (!groups.empty() && groups.back().reduced == reduced) {
      groups.back().size *= shape[i];
    } else {
      groups.push_back({shape[i], reduced});
    }
  }
  return groups;
}

// [outer, reduced, inner], where the groups have that form.
struct Form {
  int64_t outer = 1, reduced = 1, inner = 1;
};
bool HasForm(const std::vector<Group>& groups, Form& form) {
  size_t i = 0;
  if (i < groups.size() && !groups[i].reduced) form.outer = groups[i++].size;
  if (i < groups.size() && groups[i].reduced) form.reduced = groups[i++].size;
  if (i < groups.size() && !groups[i].reduced) form.inner = groups[i++].size;
  return i == groups.size();
}

// y[outer] from x[outer, reduced]. Long rows are cut into pieces whose results meet in scratch.
template <typename T, typename TY>
BoundKernel BindRows(const KernelArgs& args, Reduction kind, const Form& form) {
  constexpr int64_t kPiece = kReductionBlock * kPieceBlocks;
  const int64_t pieces = ChunkCount(form.reduced, kPiece);
  if (pieces > 1) args.scratch.Request(static_cast<size_t>(form.outer * pieces) * sizeof(double));
  return [=, x = args.input(0).as<const T>(), y = args.result().as<TY>(), scratch = &args.scratch] {
    const auto finish = [&](double value) {
      return kind == Reduction::kMean ? value / static_cast<double>(form.reduced) : value;
    };
    if (pieces == 1) {
      ParallelFor(form.outer, GrainFor(form.reduced), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          Write(finish(Run(kind, x + i * form.reduced, static_cast<size_t>(form.reduced))), y[i]);
        }
      });
      return;
    }
    double* const partials = static_cast<double*>(scratch->data());
    ParallelFor(form.outer * pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / pieces, start = (item - row * pieces) * kPiece;
        partials[item] =
            Run(kind, x + row * form.reduced + start, static_cast<size_t>(std::min(kPiece, form.reduced - start)));
      }
    });
    for (int64_t i = 0; i < form.outer; ++i) {
      double total = partials[i * pieces];
      for (int64_t p = 1; p < pieces; ++p) {
        const double next = partials[i * pieces + p];
        if (kind != Reduction::kMax) {
          total += next;
        } else if (!(total > next) && !std::isnan(total)) {
          total = next;
        }
      }
      Write(finish(total), y[i]);
    }
  };
}

// y[outer, inner] from x[outer, reduced, inner]. Scratch: partials[outer, parts, inner].
template <typename T, typename TY>
BoundKernel BindColumns(const KernelArgs& args, Reduction kind, const Form& form) {
  const int64_t blocks = ChunkCount(form.inner, kColumnBlock);
  // Rows are cut only where the columns alone do not make work enough, into at most 32 parts of at least 16.
  const int64_t wanted = form.outer * blocks >= 64 ? 1 : 32;
  const int64_t part_rows = std::max<int64_t>(16, ChunkCount(form.reduced, wanted));
  const int64_t parts = ChunkCount(form.reduced, part_rows);
  args.scratch.Request(static_cast<size_t>(form.outer * parts * form.inner) * sizeof(float));
  return [=, x = args.input(0).as<const T>(), y = args.result().as<TY>(), scratch = &args.scratch] {
    float* const partials = static_cast<float*>(scratch->data());
    ParallelFor(form.outer * parts * blocks,
                GrainFor(std::min(part_rows, form.reduced) * std::min(kColumnBlock, form.inner)),
                [&](int64_t begin, int64_t end) {
                  for (int64_t item = begin; item < end; ++item) {
                    const int64_t group = item / blocks, column = (item - group * blocks) * kColumnBlock;
                    const int64_t outer = group / parts, row = (group - outer * parts) * part_rows;
                    Columns(kind, x + (outer * form.reduced + row) * form.inner + column, form.inner,
                            std::min(part_rows, form.reduced - row), partials + group * form.inner + column,
                            static_cast<size_t>(std::min(kColumnBlock, form.inner - column)));
                  }
                });
    const float scale = static_cast<float>(1.0 / static_cast<double>(form.reduced));
    ParallelFor(form.outer * blocks, GrainFor(parts * std::min(kColumnBlock, form.inner)),
                [&](int64_t begin, int64_t end) {
                  for (int64_t item = begin; item < end; ++item) {
                    const int64_t outer = item / blocks, column = (item - outer * blocks) * kColumnBlock;
                    JoinPartials(kind, partials + outer * parts * form.inner + column, form.inner, parts, scale,
                                 y + outer * form.inner + column,
                                 static_cast<size_t>(std::min(kColumnBlock, form.inner - column)));
                  }
                });
  };
}

struct StridedAxis {
  int64_t size, stride;
};
// The element offset of the index-th combination.
int64_t OffsetOf(const std::vector<StridedAxis>& axes, int64_t index) {
  int64_t offset = 0;
  for (size_t i = axes.size(); i-- > 0;) {
    offset += index % axes[i].size * axes[i].stride;
    index /= axes[i].size;
  }
  return offset;
}

double ReadElement(float x) { return x; }
double ReadElement(Bf16 x) { return FloatFromBf16(x.bits); }
double ReadElement(double x) { return x; }
int64_t ReadElement(int32_t x) { return x; }
void Write(double value, double& to) { to = value; }
void Write(int64_t value, int32_t& to) {
  to = static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(value)));
}

// What a maximum of nothing is.
template <typename Accumulator>
constexpr Accumulator kLeast = -std::numeric_limits<Accumulator>::infinity();
template <>
constexpr int64_t kLeast<int64_t> = std::numeric_limits<int32_t>::min();

template <typename T, typename TY>
BoundKernel BindAny(const KernelArgs& args, Reduction kind, const std::vector<Group>& groups) {
  std::vector<StridedAxis> kept, reduced;
  int64_t stride = 1, count = 1;
  for (size_t i = groups.size(); i-- > 0;) {
    auto& axes = groups[i].reduced ? reduced : kept;
    axes.insert(axes.begin(), {groups[i].size, stride});
    if (groups[i].reduced) count *= groups[i].size;
    stride *= groups[i].size;
  }
  return [=, x = args.input(0).as<const T>(), y = args.result().as<TY>(), elements = args.result().count()] {
    using Accumulator = decltype(ReadElement(T{}));
    ParallelFor(elements, GrainFor(4 * count), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* const source = x + OffsetOf(kept, i);
        Accumulator total = 0;
        if (kind == Reduction::kMax) total = kLeast<Accumulator>;
        for (int64_t k = 0; k < count; ++k) {
          const Accumulator value = ReadElement(source[OffsetOf(reduced, k)]);
          if (kind != Reduction::kMax) {
            total += value;
          } else if (value > total || value != value) {
            total = value;
            if (value != value) break;
          }
        }
        if (kind == Reduction::kMean)
          total = static_cast<Accumulator>(static_cast<double>(total) / static_cast<double>(count));
        Write(total, y[i]);
      }
    });
  };
}

template <typename T, typename TY = T>
BoundKernel BindVector(const KernelArgs& args, Reduction kind, const std::vector<Group>& groups) {
  Form form;
  if (args.input(0).count() == 0 || !HasForm(groups, form)) return BindAny<T, TY>(args, kind, groups);
  return form.inner == 1 ? BindRows<T, TY>(args, kind, form) : BindColumns<T, TY>(args, kind, form);
}

StatusOr<BoundKernel> Bind(const KernelArgs& args, Reduction kind, std::string_view name) {
  const Type& type = args.input(0).type;
  const std::vector<Group> groups = MergedGroups(type.shape, args.attributes.Ints("axes"));
  if (args.result().type.dtype == type.dtype) {
    switch (type.dtype) {
      case DType::kF32:
        return BindVector<float>(args, kind, groups);
      case DType::kBF16:
        return BindVector<Bf16>(args, kind, groups);
      case DType::kF64:
        return BindAny<double, double>(args, kind, groups);
      case DType::kI32:
        if (kind != Reduction::kMean) return BindAny<int32_t, int32_t>(args, kind, groups);
        break;
      default:
        break;
    }
  }
  if (type.dtype == DType::kBF16 && args.result().type.dtype == DType::kF32)
    return BindVector<Bf16, float>(args, kind, groups);
  return Unsupported(name, args, kind == Reduction::kMean ? "f32, bf16 or f64" : "f32, bf16, f64 or i32");
}

}  // namespace

StatusOr<BoundKernel> BindCpuSum(const KernelArgs& args) { return Bind(args, Reduction::kSum, "sum"); }
StatusOr<BoundKernel> BindCpuMean(const KernelArgs& args) { return Bind(args, Reduction::kMean, "mean"); }
StatusOr<BoundKernel> BindCpuReduceMax(const KernelArgs& args) { return Bind(args, Reduction::kMax, "reduce_max"); }

}  // namespace gptc
#endif  // HWY_ONCE
