#include "runtime/cuda/movement.cuh"

#include <vector>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

constexpr std::string_view kOneDType = "results of the operands' dtype, and eight axes that move apart";

bool SameDType(const KernelArgs& args) {
  for (const TensorView& view : args.inputs) {
    if (view.type.dtype != args.result().type.dtype) return false;
  }
  return true;
}

// Rows before an axis, its size, and the bytes behind it.
struct AxisView {
  int64_t rows = 1, size = 1, bytes = 1;
};
AxisView ViewAxis(const Type& type, int64_t axis) {
  AxisView view;
  for (int64_t i = 0; i < axis; ++i) view.rows *= type.shape[i];
  view.size = type.shape[axis];
  view.bytes = SizeOf(type.dtype);
  for (size_t i = axis + 1; i < type.shape.size(); ++i) view.bytes *= type.shape[i];
  return view;
}

BoundKernel BindRows(const KernelArgs& args, std::vector<cuda::RowCopy> parts, int64_t rows) {
  return
      [stream = CudaDeviceOf(args).stream(), parts = std::move(parts), rows] { cuda::CopyRows(stream, parts, rows); };
}

}  // namespace

// y = x repeated along new axes and axes of size 1.
StatusOr<BoundKernel> BindCudaBroadcast(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  const auto nest = cuda::MakeBroadcastNest(y.type.shape, {&x.type.shape});
  if (!SameDType(args) || !nest) return UnsupportedOnCuda("broadcast", args, kOneDType);
  return BoundKernel([nest = *nest, stream = CudaDeviceOf(args).stream(), size = SizeOf(y.type.dtype), x = x.data,
                      y = y.data] { cuda::BroadcastElements(stream, size, nest, x, y); });
}

// Axis i of y is axis permutation[i] of x.
StatusOr<BoundKernel> BindCudaTranspose(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  const auto nest = cuda::MakeTransposeNest(x.type.shape, args.attributes.Ints("permutation"));
  if (!SameDType(args) || !nest) return UnsupportedOnCuda("transpose", args, kOneDType);
  return BoundKernel([nest = *nest, stream = CudaDeviceOf(args).stream(), size = SizeOf(y.type.dtype), x = x.data,
                      y = y.data] { cuda::TransposeElements(stream, size, nest, x, y); });
}

// y = x[start .. start + size) along the axis.
StatusOr<BoundKernel> BindCudaSlice(const KernelArgs& args) {
  if (!SameDType(args)) return UnsupportedOnCuda("slice", args, kOneDType);
  const TensorView &x = args.input(0), &y = args.result();
  const int64_t axis = args.attributes.Int("axis");
  const AxisView from = ViewAxis(x.type, axis), to = ViewAxis(y.type, axis);
  const int64_t bytes = to.size * to.bytes;
  return BindRows(
      args,
      {{x.as<const char>() + args.attributes.Int("start") * from.bytes, y.data, from.size * from.bytes, bytes, bytes}},
      from.rows);
}

// y = x between `low` and `high` zeros along the axis.
StatusOr<BoundKernel> BindCudaPad(const KernelArgs& args) {
  if (!SameDType(args)) return UnsupportedOnCuda("pad", args, kOneDType);
  const AxisView from = ViewAxis(args.input(0).type, args.attributes.Int("axis"));
  const cuda::RowPad pad = {from.rows, args.attributes.Int("low") * from.bytes, from.size * from.bytes,
                            args.attributes.Int("high") * from.bytes};
  return BoundKernel([=, stream = CudaDeviceOf(args).stream(), x = args.input(0).data, y = args.result().data] {
    cuda::PadRows(stream, x, y, pad);
  });
}

// Equal parts of x along the axis.
StatusOr<BoundKernel> BindCudaSplit(const KernelArgs& args) {
  if (!SameDType(args)) return UnsupportedOnCuda("split", args, kOneDType);
  const int64_t axis = args.attributes.Int("axis");
  const AxisView from = ViewAxis(args.input(0).type, axis);
  std::vector<cuda::RowCopy> parts;
  const char* start = args.input(0).as<const char>();
  for (const TensorView& part : args.results) {
    const int64_t bytes = part.dim(static_cast<int>(axis)) * from.bytes;
    parts.push_back({start, part.data, from.size * from.bytes, bytes, bytes});
    start += bytes;
  }
  return BindRows(args, std::move(parts), from.rows);
}

// The operands one after the other along the axis.
StatusOr<BoundKernel> BindCudaConcat(const KernelArgs& args) {
  if (!SameDType(args)) return UnsupportedOnCuda("concat", args, kOneDType);
  const int64_t axis = args.attributes.Int("axis");
  const AxisView to = ViewAxis(args.result().type, axis);
  std::vector<cuda::RowCopy> parts;
  char* start = args.result().as<char>();
  for (const TensorView& part : args.inputs) {
    const int64_t bytes = part.dim(static_cast<int>(axis)) * to.bytes;
    parts.push_back({part.data, start, bytes, to.size * to.bytes, bytes});
    start += bytes;
  }
  return BindRows(args, std::move(parts), to.rows);
}

}  // namespace gptc
