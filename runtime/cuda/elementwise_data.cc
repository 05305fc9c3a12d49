#include "runtime/cuda/elementwise_data.cuh"

#include <cstring>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/movement.cuh"

namespace gptc {
namespace {

constexpr std::string_view kTooManyAxes = "eight axes that broadcast differently";

uint32_t OrdersOf(std::string_view direction) {
  if (direction == "eq") return cuda::kEqual;
  if (direction == "ne") return cuda::kLess | cuda::kGreater | cuda::kUnordered;
  if (direction == "lt") return cuda::kLess;
  if (direction == "le") return cuda::kLess | cuda::kEqual;
  if (direction == "gt") return cuda::kGreater;
  return cuda::kGreater | cuda::kEqual;
}

BoundKernel BindCopy(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  if (x.data == y.data) return [] {};
  return [stream = CudaDeviceOf(args).stream(), from = x.data, to = y.data, bytes = static_cast<int64_t>(y.bytes())] {
    cuda::CopyBytes(stream, from, to, bytes);
  };
}

// The value rounded to the dtype, as its bits.
uint64_t BitsOf(double value, DType dtype) {
  uint64_t bits = 0;
  const auto set = [&](auto element) { std::memcpy(&bits, &element, sizeof element); };
  // A constant's value is finite, and within what an integer dtype holds.
  switch (dtype) {
    case DType::kF64:
      set(value);
      break;
    case DType::kF32:
      set(static_cast<float>(value));
      break;
    case DType::kBF16:
      set(Bf16FromFloat(static_cast<float>(value)));
      break;
    case DType::kF16:
      set(F16FromFloat(static_cast<float>(value)));
      break;
    case DType::kI32:
      set(static_cast<int32_t>(std::clamp(value, -2147483648.0, 2147483647.0)));
      break;
    case DType::kU16:
      set(static_cast<uint16_t>(std::clamp(value, 0.0, 65535.0)));
      break;
    case DType::kBool:
      set(static_cast<uint8_t>(value != 0));
      break;
  }
  return bits;
}

}  // namespace

StatusOr<BoundKernel> BindCudaCompare(const KernelArgs& args) {
  const DType dtype = args.input(0).type.dtype;
  if (args.input(1).type.dtype != dtype || args.result().type.dtype != DType::kBool || dtype == DType::kF16) {
    return UnsupportedOnCuda("compare", args, "one dtype to bool, not f16");
  }
  const auto nest =
      cuda::MakeBroadcastNest(args.result().type.shape, {&args.input(0).type.shape, &args.input(1).type.shape});
  if (!nest) return UnsupportedOnCuda("compare", args, kTooManyAxes);
  return BoundKernel([=, nest = *nest, stream = CudaDeviceOf(args).stream(),
                      orders = OrdersOf(args.attributes.Str("direction")), a = args.input(0).data,
                      b = args.input(1).data,
                      y = args.result().as<uint8_t>()] { cuda::ApplyCompare(stream, orders, dtype, nest, a, b, y); });
}

StatusOr<BoundKernel> BindCudaSelect(const KernelArgs& args) {
  const DType dtype = args.result().type.dtype;
  if (args.input(0).type.dtype != DType::kBool || args.input(1).type.dtype != dtype ||
      args.input(2).type.dtype != dtype) {
    return UnsupportedOnCuda("select", args, "a bool condition and branches of the result's dtype");
  }
  const auto nest = cuda::MakeBroadcastNest(
      args.result().type.shape, {&args.input(0).type.shape, &args.input(1).type.shape, &args.input(2).type.shape});
  if (!nest) return UnsupportedOnCuda("select", args, kTooManyAxes);
  return BoundKernel([=, nest = *nest, stream = CudaDeviceOf(args).stream(), size = SizeOf(dtype),
                      condition = args.input(0).as<const uint8_t>(), a = args.input(1).data, b = args.input(2).data,
                      y = args.result().data] { cuda::ApplySelect(stream, size, nest, condition, a, b, y); });
}

StatusOr<BoundKernel> BindCudaCast(const KernelArgs& args) {
  const TensorView &x = args.input(0), &y = args.result();
  const DType from = x.type.dtype, to = y.type.dtype;
  if (from == to) return BindCopy(args);
  return BoundKernel([=, stream = CudaDeviceOf(args).stream(), x = x.data, y = y.data, count = y.count()] {
    cuda::ApplyCast(stream, from, to, x, y, count);
  });
}

StatusOr<BoundKernel> BindCudaConstant(const KernelArgs& args) {
  const TensorView& y = args.result();
  const DType dtype = y.type.dtype;
  return BoundKernel([stream = CudaDeviceOf(args).stream(), bits = BitsOf(args.attributes.Double("value"), dtype),
                      size = SizeOf(dtype), y = y.data,
                      bytes = static_cast<int64_t>(y.bytes())] { cuda::ApplyFill(stream, bits, size, y, bytes); });
}

StatusOr<BoundKernel> BindCudaIota(const KernelArgs& args) {
  const TensorView& y = args.result();
  const int64_t axis = args.attributes.Int("axis"), size = y.type.shape[axis];
  int64_t inner = 1;
  for (size_t i = axis + 1; i < y.type.shape.size(); ++i) inner *= y.type.shape[i];
  return BoundKernel([=, stream = CudaDeviceOf(args).stream(), to = y.as<int32_t>(), count = y.count()] {
    cuda::ApplyIota(stream, inner, size, to, count);
  });
}

StatusOr<BoundKernel> BindCudaCopy(const KernelArgs& args) {
  if (args.input(0).type != args.result().type) {
    return UnsupportedOnCuda("copy", args, "a result of the operand's type");
  }
  return BindCopy(args);
}

}  // namespace gptc
