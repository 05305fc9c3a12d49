#include "runtime/cuda/movement.cuh"

#include <algorithm>

#include "runtime/cuda/map.cuh"

namespace gptc::cuda {
namespace {

// visit(an unsigned type of so many bytes)
template <typename Visit>
void WithUnit(int64_t bytes, const Visit& visit) {
  switch (bytes) {
    case 1:
      return visit(uint8_t{});
    case 2:
      return visit(uint16_t{});
    case 4:
      return visit(uint32_t{});
    case 8:
      return visit(uint64_t{});
    default:
      return visit(Bits16{});
  }
}

// The largest of 16, 8, 4, 2 and 1 that divides every number whose bits were joined into `joined`.
int64_t UnitOf(uint64_t joined) {
  joined |= 16;
  return static_cast<int64_t>(joined & (~joined + 1));
}
uint64_t Address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

constexpr int kThreads = 256;
constexpr int kUnroll = 4;

// --- rows ------------------------------------------------------------------------------------------------------------

constexpr int kMostParts = 8;

template <typename Unit>
struct UnitRows {
  const Unit* from;
  Unit* to;
  int64_t from_stride, to_stride;  // in units, as all that follows
  Divisor row;
  uint32_t count;  // of all rows
};
template <typename Unit>
struct UnitParts {
  UnitRows<Unit> at[kMostParts];
};

// blockIdx.y: the part.
template <typename Unit>
__global__ __launch_bounds__(kThreads) void CopyRowsKernel(UnitParts<Unit> parts) {
  const UnitRows<Unit>& part = parts.at[blockIdx.y];
  const uint32_t first = blockIdx.x * (kThreads * kUnroll) + threadIdx.x;
  Unit units[kUnroll];
  int64_t places[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const uint32_t i = first + u * kThreads;
    if (i >= part.count) break;
    const uint32_t row = part.row.Quotient(i), place = i - row * part.row.value;
    units[u] = part.from[row * part.from_stride + place];
    places[u] = row * part.to_stride + place;
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    if (first + u * kThreads >= part.count) break;
    part.to[places[u]] = units[u];
  }
}

template <typename Unit>
void CopyUnits(cudaStream_t stream, std::span<const RowCopy> parts, int64_t rows) {
  constexpr int64_t kSize = sizeof(Unit);
  // Parts of rows and of their bytes, so that a launch counts no more than kMostItems units.
  int64_t longest = 0;
  for (const RowCopy& part : parts) longest = std::max(longest, part.bytes / kSize);
  const int64_t piece = std::min(longest, kMostItems), most_rows = std::max<int64_t>(1, kMostItems / piece);
  for (int64_t row = 0; row < rows; row += most_rows) {
    const int64_t own_rows = std::min(most_rows, rows - row);
    for (int64_t start = 0; start < longest; start += piece) {
      UnitParts<Unit> units = {};
      uint32_t most = 0;
      for (size_t i = 0; i < parts.size(); ++i) {
        const RowCopy& part = parts[i];
        UnitRows<Unit>& to = units.at[i];
        const int64_t width = std::clamp<int64_t>(part.bytes / kSize - start, 0, piece);
        to.from_stride = part.from_stride / kSize;
        to.to_stride = part.to_stride / kSize;
        to.from = static_cast<const Unit*>(part.from) + row * to.from_stride + start;
        to.to = static_cast<Unit*>(part.to) + row * to.to_stride + start;
        to.row = Divisor(std::max<int64_t>(1, width));
        to.count = static_cast<uint32_t>(own_rows * width);
        most = std::max(most, to.count);
      }
      Launch(stream, CopyRowsKernel<Unit>, dim3(BlocksFor(most, kThreads * kUnroll), parts.size()), dim3(kThreads), 0,
             units);
    }
  }
}

// --- padding ---------------------------------------------------------------------------------------------------------

// In units: rows of y are `low` zeros, `middle` of x, zeros up to the row's end.
template <typename Unit>
__global__ __launch_bounds__(kThreads) void PadKernel(const Unit* x, Unit* y, Divisor row, uint32_t low,
                                                      uint32_t middle, uint32_t count) {
  const uint32_t first = blockIdx.x * (kThreads * kUnroll) + threadIdx.x;
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const uint32_t i = first + u * kThreads;
    if (i >= count) break;
    const uint32_t index = row.Quotient(i);
    const uint32_t place = i - index * row.value - low;  // below the row's first: wraps to more than `middle`
    y[i] = place < middle ? x[int64_t{index} * middle + place] : Unit{};
  }
}

// --- transposition ---------------------------------------------------------------------------------------------------

constexpr int kTileColumns = 32, kTileRows = 8;  // of threads

struct TileGrid {
  Divisor columns, rows;       // tiles along either axis; batches come last
  uint32_t width, height;      // elements of y's last axis, and of the one along which x's elements are neighbours
  int64_t x_stride, y_stride;  // of x along the first, of y along the second; the others are 1
};

// y[b, i, j] = x[b', j, i]: a tile is read along i and written along j. The batches' places in x and y are operands 0
// and 1 of their nest.
template <typename T, int kTile>
__global__ __launch_bounds__(kTileColumns* kTileRows) void TransposeKernel(const T* x, T* y, TileGrid grid,
                                                                           DeviceNest batches) {
  // A column of the tile takes all banks.
  constexpr int kStride = kTile + (sizeof(T) < 4 ? 4 / sizeof(T) : 1);
  GPTC_SHARED(T, tile, kTile * kStride);
  const uint32_t row_of_tiles = grid.columns.Quotient(blockIdx.x);
  const uint32_t batch = grid.rows.Quotient(row_of_tiles);
  const uint32_t j0 = (blockIdx.x - row_of_tiles * grid.columns.value) * kTile;
  const uint32_t i0 = (row_of_tiles - batch * grid.rows.value) * kTile;
  int64_t at[kMaxOperands];
  batches.Offsets<2>(batch, at);
  x += at[0];
  y += at[1];
#pragma unroll
  for (int r = 0; r < kTile; r += kTileRows) {
    const uint32_t j = r + threadIdx.y;
#pragma unroll
    for (int c = 0; c < kTile; c += kTileColumns) {
      const uint32_t i = c + threadIdx.x;
      if (j0 + j < grid.width && i0 + i < grid.height) tile[j * kStride + i] = x[(j0 + j) * grid.x_stride + i0 + i];
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kTile; r += kTileRows) {
    const uint32_t i = r + threadIdx.y;
#pragma unroll
    for (int c = 0; c < kTile; c += kTileColumns) {
      const uint32_t j = c + threadIdx.x;
      if (j0 + j < grid.width && i0 + i < grid.height) y[(i0 + i) * grid.y_stride + j0 + j] = tile[j * kStride + i];
    }
  }
}

struct Same {
  template <typename T>
  __device__ __forceinline__ T operator()(T x) const {
    return x;
  }
};

// The last axis stays: elements of y's runs are neighbours in x too, so that several are one.
void TransposeRuns(cudaStream_t stream, int64_t size, Nest nest, const void* x, void* y) {
  uint64_t joined = Address(x) | Address(y) | static_cast<uint64_t>(nest.sizes[0] * size);
  for (int i = 1; i < nest.axes; ++i) joined |= static_cast<uint64_t>(nest.strides[0][i] * size);
  const int64_t unit = std::max<int64_t>(size, UnitOf(joined)), factor = unit / size;
  nest.sizes[0] /= factor;
  for (int i = 1; i < nest.axes; ++i) nest.strides[0][i] /= factor;
  WithUnit(unit, [&]<typename T>(T) { Map(stream, Same(), nest, static_cast<const T*>(x), static_cast<T*>(y)); });
}

// Tiles over y's last axis and the axis `along` which x's elements are neighbours.
template <typename T>
void TransposeTiles(cudaStream_t stream, const Nest& nest, int along, const T* x, T* y) {
  constexpr int kTile = sizeof(T) < 4 ? 64 : 32;
  TileGrid grid = {};
  Nest batches;
  int64_t stride = 1, count = 1;
  for (int i = 0; i < nest.axes; ++i) {
    if (i == along) grid.y_stride = stride;
    if (i != 0 && i != along) {
      batches.Append(nest.sizes[i], {nest.strides[0][i], stride});
      count *= nest.sizes[i];
    }
    stride *= nest.sizes[i];
  }
  grid.width = static_cast<uint32_t>(nest.sizes[0]);
  grid.height = static_cast<uint32_t>(nest.sizes[along]);
  grid.x_stride = nest.strides[0][0];
  grid.columns = Divisor(BlocksFor(grid.width, kTile));
  grid.rows = Divisor(BlocksFor(grid.height, kTile));
  Launch(stream, TransposeKernel<T, kTile>, dim3(static_cast<unsigned>(count * grid.columns.value * grid.rows.value)),
         dim3(kTileColumns, kTileRows), 0, x, y, grid, DeviceNest(batches, 1));
}

}  // namespace

void CopyRows(cudaStream_t stream, std::span<const RowCopy> parts, int64_t rows) {
  if (rows == 0) return;
  for (size_t first = 0; first < parts.size(); first += kMostParts) {
    const auto group = parts.subspan(first, std::min<size_t>(kMostParts, parts.size() - first));
    uint64_t joined = 0;
    int64_t bytes = 0;
    for (const RowCopy& part : group) {
      bytes = std::max(bytes, part.bytes);
      joined |= Address(part.from) | Address(part.to) | static_cast<uint64_t>(part.bytes);
      if (rows > 1) joined |= static_cast<uint64_t>(part.from_stride) | static_cast<uint64_t>(part.to_stride);
    }
    if (bytes == 0) continue;
    WithUnit(UnitOf(joined), [&]<typename Unit>(Unit) { CopyUnits<Unit>(stream, group, rows); });
  }
}

void CopyBytes(cudaStream_t stream, const void* from, void* to, int64_t bytes) {
  // What is behind the last 16 bytes goes apart, so that it does not decide for all.
  const int64_t most = bytes / 16 * 16;
  const RowCopy whole = {from, to, most, most, most};
  const RowCopy rest = {static_cast<const char*>(from) + most, static_cast<char*>(to) + most, 0, 0, bytes - most};
  CopyRows(stream, {&whole, 1}, 1);
  CopyRows(stream, {&rest, 1}, 1);
}

void PadRows(cudaStream_t stream, const void* x, void* y, const RowPad& pad) {
  const int64_t whole = pad.low + pad.middle + pad.high;
  if (whole == 0) return;
  const uint64_t joined = Address(x) | Address(y) | static_cast<uint64_t>(pad.low | pad.middle | pad.high);
  WithUnit(UnitOf(joined), [&]<typename Unit>(Unit) {
    constexpr int64_t kSize = sizeof(Unit);
    const int64_t most_rows = std::max<int64_t>(1, kMostItems / (whole / kSize));
    for (int64_t row = 0; row < pad.rows; row += most_rows) {
      const int64_t count = std::min(most_rows, pad.rows - row) * (whole / kSize);
      Launch(stream, PadKernel<Unit>, dim3(BlocksFor(count, kThreads * kUnroll)), dim3(kThreads), 0,
             static_cast<const Unit*>(x) + row * (pad.middle / kSize), static_cast<Unit*>(y) + row * (whole / kSize),
             Divisor(whole / kSize), pad.low / kSize, pad.middle / kSize, count);
    }
  });
}

void BroadcastElements(cudaStream_t stream, int size, const Nest& nest, const void* x, void* y) {
  WithUnit(size, [&]<typename T>(T) { Map(stream, Same(), nest, static_cast<const T*>(x), static_cast<T*>(y)); });
}

void TransposeElements(cudaStream_t stream, int size, const Nest& nest, const void* x, void* y) {
  const int64_t count = nest.count();
  if (count == 0) return;
  if (nest.axes == 1) return CopyBytes(stream, x, y, count * size);  // nothing changes its place
  if (nest.strides[0][0] == 1) return TransposeRuns(stream, size, nest, x, y);
  int along = 1;
  while (nest.strides[0][along] != 1) ++along;
  constexpr int64_t kLeast = 8;  // elements along either axis, below which tiles do not pay
  if (nest.sizes[0] < kLeast || nest.sizes[along] < kLeast) return BroadcastElements(stream, size, nest, x, y);
  WithUnit(size,
           [&]<typename T>(T) { TransposeTiles(stream, nest, along, static_cast<const T*>(x), static_cast<T*>(y)); });
}

}  // namespace gptc::cuda
