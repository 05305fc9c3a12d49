// Data movement: elements go to another place and keep their bits, so a kernel knows their size alone (1, 2, 4 or 8
// bytes). All are memory bound: one read, one write (broadcast reads less), in parallel over runs of rows.
#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "runtime/cpu/broadcast.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/unsupported.h"

namespace gptc {
namespace {

// bind(an unsigned integer of an element's size)
template <typename Bind>
BoundKernel WithBits(DType dtype, const Bind& bind) {
  switch (SizeOf(dtype)) {
    case 1:
      return bind(uint8_t{});
    case 2:
      return bind(uint16_t{});
    case 4:
      return bind(uint32_t{});
    default:
      return bind(uint64_t{});
  }
}

// Elements before, along and after an axis.
struct AxisView {
  int64_t outer = 1, size = 1, inner = 1;
};
AxisView ViewAxis(const Shape& shape, int64_t axis) {
  AxisView view;
  for (int64_t i = 0; i < axis; ++i) view.outer *= shape[i];
  view.size = shape[axis];
  for (size_t i = axis + 1; i < shape.size(); ++i) view.inner *= shape[i];
  return view;
}

// `rows` copies of `bytes` consecutive bytes.
struct RowCopy {
  const std::byte* from;
  std::byte* to;
  int64_t from_stride, to_stride;
  int64_t rows, bytes;
};

void Run(const RowCopy& copy) {
  if (copy.rows == 0 || copy.bytes == 0) return;
  // Long rows are cut, so that a few of them still occupy every thread.
  const int64_t piece = 4 * kChunkWork;
  const int64_t pieces = ChunkCount(copy.bytes, piece);
  ParallelFor(copy.rows * pieces, pieces > 1 ? 1 : GrainFor(copy.bytes / 4), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item / pieces, start = (item - row * pieces) * piece;
      std::memcpy(copy.to + row * copy.to_stride + start, copy.from + row * copy.from_stride + start,
                  static_cast<size_t>(std::min(piece, copy.bytes - start)));
    }
  });
}

BoundKernel RunAll(std::vector<RowCopy> copies) {
  return [copies = std::move(copies)] {
    for (const RowCopy& copy : copies) Run(copy);
  };
}

struct Axis {
  int64_t size, from_stride;  // in elements
};

// The transposition as the fewest axes, in the result's order: axes of size 1 go, axes that stay neighbours become one.
std::vector<Axis> MergedAxes(const Shape& shape, const std::vector<int64_t>& permutation) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  std::vector<Axis> axes;
  for (int64_t from : permutation) {
    if (shape[from] == 1) continue;
    if (!axes.empty() && axes.back().from_stride == strides[from] * shape[from]) {
      axes.back() = {axes.back().size * shape[from], strides[from]};
    } else {
      axes.push_back({shape[from], strides[from]});
    }
  }
  return axes;
}

// A tile whose rows of both sides stay in L1.
constexpr int64_t kTile = 64;

// y[i, j] = x[j, i] for i, j < 4, by exchanging halves and quarters of four vectors.
inline void TransposeFour(const uint32_t* x, int64_t x_stride, uint32_t* y, int64_t y_stride) {
  typedef uint32_t Vector __attribute__((vector_size(16)));
  Vector a, b, c, d;
  std::memcpy(&a, x, 16);
  std::memcpy(&b, x + x_stride, 16);
  std::memcpy(&c, x + 2 * x_stride, 16);
  std::memcpy(&d, x + 3 * x_stride, 16);
  const Vector ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Vector cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Vector rows[4] = {
      __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
      __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) std::memcpy(y + i * y_stride, &rows[i], 16);
}

// y[i, j] = x[j, i] on a tile of rows i and columns j.
template <typename T>
void TransposeTile(const T* x, int64_t x_stride, T* y, int64_t y_stride, int64_t rows, int64_t columns) {
  if (rows == kTile && columns == kTile) {
    // Through a tile of its own, so that both sides are touched in whole lines even where their strides are powers of
    // two.
    T tile[kTile][kTile];
    if constexpr (sizeof(T) == 4) {
      for (int64_t j = 0; j < kTile; j += 4) {
        for (int64_t i = 0; i < kTile; i += 4) TransposeFour(x + j * x_stride + i, x_stride, &tile[i][j], kTile);
      }
    } else {
      for (int64_t j = 0; j < kTile; ++j) {
        for (int64_t i = 0; i < kTile; ++i) tile[i][j] = x[j * x_stride + i];
      }
    }
    for (int64_t i = 0; i < kTile; ++i) std::memcpy(y + i * y_stride, tile[i], sizeof(tile[i]));
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) y[i * y_stride + j] = x[j * x_stride + i];
  }
}

// Offset of the index-th combination of `axes` in the operand, counted in elements.
int64_t OffsetOf(std::span<const Axis> axes, int64_t index) {
  int64_t offset = 0;
  for (size_t i = axes.size(); i-- > 0;) {
    offset += index % axes[i].size * axes[i].from_stride;
    index /= axes[i].size;
  }
  return offset;
}

// Rows of the result are strided in the operand, whose own rows lie along result axis `unit`: tiles over both.
template <typename T>
BoundKernel TiledTranspose(const T* x, T* y, const std::vector<Axis>& axes) {
  const size_t unit = [&] {
    size_t i = 0;
    while (axes[i].from_stride != 1) ++i;
    return i;
  }();
  const Axis row = axes[unit], column = axes.back();
  int64_t y_stride = 1;  // of the result along `unit`
  for (size_t i = unit + 1; i < axes.size(); ++i) y_stride *= axes[i].size;
  // The other axes, with the strides of either side.
  std::vector<Axis> from, to;
  int64_t stride = 1, batches = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    if (i != unit && i + 1 != axes.size()) {
      from.insert(from.begin(), axes[i]);
      to.insert(to.begin(), {axes[i].size, stride});
      batches *= axes[i].size;
    }
    stride *= axes[i].size;
  }
  const int64_t row_tiles = ChunkCount(row.size, kTile), column_tiles = ChunkCount(column.size, kTile);
  return [=] {
    // An item is a band of the result: kTile rows.
    ParallelFor(batches * row_tiles, GrainFor(kTile * column.size), [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t batch = item / row_tiles, i = (item - batch * row_tiles) * kTile;
        const T* const source = x + OffsetOf(from, batch) + i;
        T* const target = y + OffsetOf(to, batch) + i * y_stride;
        for (int64_t tile = 0; tile < column_tiles; ++tile) {
          const int64_t j = tile * kTile;
          TransposeTile(source + j * column.from_stride, column.from_stride, target + j, y_stride,
                        std::min(kTile, row.size - i), std::min(kTile, column.size - j));
        }
      }
    });
  };
}

// The last axis stays: whole runs of `axes.back().size` elements move.
BoundKernel RunTranspose(const std::byte* x, std::byte* y, int element, std::vector<Axis> axes) {
  const int64_t bytes = axes.back().size * element;
  axes.pop_back();
  int64_t runs = 1;
  for (const Axis& axis : axes) runs *= axis.size;
  return [=] {
    ParallelFor(runs, GrainFor(bytes / 4), [&](int64_t begin, int64_t end) {
      for (int64_t run = begin; run < end; ++run) {
        std::memcpy(y + run * bytes, x + OffsetOf(axes, run) * element, static_cast<size_t>(bytes));
      }
    });
  };
}

bool SameDType(const KernelArgs& args) {
  for (const TensorView& view : args.inputs) {
    if (view.type.dtype != args.result().type.dtype) return false;
  }
  return true;
}
constexpr std::string_view kOneDType = "results of the operands' dtype";

}  // namespace

// y = x repeated along new axes and axes of size 1.
StatusOr<BoundKernel> BindCpuBroadcast(const KernelArgs& args) {
  if (!SameDType(args)) return Unsupported("broadcast", args, kOneDType);
  const TensorView x = args.input(0), y = args.result();
  return WithBits(y.type.dtype, [&]<typename T>(T) -> BoundKernel {
    auto nest = MakeLoopNest<1>(y.type.shape, {&x.type.shape});
    return [=, from = x.as<const T>(), to = y.as<T>()] {
      ForEachRow(nest, 1, [&](const std::array<int64_t, 1>& offset, int64_t place, int64_t n) {
        if (nest.inner[0]) {
          std::memcpy(to + place, from + offset[0], static_cast<size_t>(n) * sizeof(T));
        } else {
          std::fill(to + place, to + place + n, from[offset[0]]);
        }
      });
    };
  });
}

// Axis i of y is axis permutation[i] of x.
StatusOr<BoundKernel> BindCpuTranspose(const KernelArgs& args) {
  if (!SameDType(args)) return Unsupported("transpose", args, kOneDType);
  const TensorView x = args.input(0), y = args.result();
  if (y.count() == 0) return BoundKernel([] {});
  std::vector<Axis> axes = MergedAxes(x.type.shape, args.attributes.Ints("permutation"));
  if (axes.size() <= 1) {  // nothing changes its place
    const int64_t bytes = static_cast<int64_t>(y.bytes());
    return RunAll({{x.as<const std::byte>(), y.as<std::byte>(), bytes, bytes, 1, bytes}});
  }
  if (axes.back().from_stride == 1) {
    return RunTranspose(x.as<const std::byte>(), y.as<std::byte>(), SizeOf(y.type.dtype), std::move(axes));
  }
  return WithBits(y.type.dtype, [&]<typename T>(T) { return TiledTranspose(x.as<const T>(), y.as<T>(), axes); });
}

// y = x[start .. start + size) along the axis.
StatusOr<BoundKernel> BindCpuSlice(const KernelArgs& args) {
  if (!SameDType(args)) return Unsupported("slice", args, kOneDType);
  const TensorView x = args.input(0), y = args.result();
  const int64_t axis = args.attributes.Int("axis");
  const AxisView from = ViewAxis(x.type.shape, axis), to = ViewAxis(y.type.shape, axis);
  const int64_t row = from.inner * SizeOf(y.type.dtype);
  return RunAll({{x.as<const std::byte>() + args.attributes.Int("start") * row, y.as<std::byte>(), from.size * row,
                  to.size * row, from.outer, to.size * row}});
}

// y = x between `low` and `high` zeros along the axis.
StatusOr<BoundKernel> BindCpuPad(const KernelArgs& args) {
  if (!SameDType(args)) return Unsupported("pad", args, kOneDType);
  const TensorView x = args.input(0), y = args.result();
  const int64_t axis = args.attributes.Int("axis");
  const AxisView from = ViewAxis(x.type.shape, axis), to = ViewAxis(y.type.shape, axis);
  const int64_t row = to.inner * SizeOf(y.type.dtype);
  const int64_t low = args.attributes.Int("low") * row, middle = from.size * row, whole = to.size * row;
  return BoundKernel([=, source = x.as<const std::byte>(), target = y.as<std::byte>(), rows = to.outer] {
    Run({source, target + low, middle, whole, rows, middle});
    const int64_t high = whole - low - middle;
    ParallelFor(rows, GrainFor((low + high) / 4), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::memset(target + i * whole, 0, static_cast<size_t>(low));
        std::memset(target + i * whole + low + middle, 0, static_cast<size_t>(high));
      }
    });
  });
}

// Equal parts of x along the axis.
StatusOr<BoundKernel> BindCpuSplit(const KernelArgs& args) {
  if (!SameDType(args)) return Unsupported("split", args, kOneDType);
  const int64_t axis = args.attributes.Int("axis");
  const TensorView x = args.input(0);
  const AxisView from = ViewAxis(x.type.shape, axis);
  const int64_t row = from.inner * SizeOf(x.type.dtype);
  std::vector<RowCopy> copies;
  int64_t start = 0;
  for (const TensorView& part : args.results) {
    const int64_t bytes = ViewAxis(part.type.shape, axis).size * row;
    copies.push_back(
        {x.as<const std::byte>() + start, part.as<std::byte>(), from.size * row, bytes, from.outer, bytes});
    start += bytes;
  }
  return RunAll(std::move(copies));
}

// The operands one after the other along the axis.
StatusOr<BoundKernel> BindCpuConcat(const KernelArgs& args) {
  if (!SameDType(args)) return Unsupported("concat", args, kOneDType);
  const int64_t axis = args.attributes.Int("axis");
  const TensorView y = args.result();
  const AxisView to = ViewAxis(y.type.shape, axis);
  const int64_t row = to.inner * SizeOf(y.type.dtype);
  std::vector<RowCopy> copies;
  int64_t start = 0;
  for (const TensorView& part : args.inputs) {
    const int64_t bytes = ViewAxis(part.type.shape, axis).size * row;
    copies.push_back({part.as<const std::byte>(), y.as<std::byte>() + start, bytes, to.size * row, to.outer, bytes});
    start += bytes;
  }
  return RunAll(std::move(copies));
}

}  // namespace gptc
