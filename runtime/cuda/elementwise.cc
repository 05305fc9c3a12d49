#include "runtime/cuda/elementwise.cuh"

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

using cuda::Binary;
using cuda::Unary;

bool OneDType(const KernelArgs& args) {
  for (const TensorView& input : args.inputs) {
    if (input.type.dtype != args.result().type.dtype) return false;
  }
  return true;
}
bool HasFloats(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF64; }

StatusOr<BoundKernel> BindBinary(const KernelArgs& args, Binary op, std::string_view name) {
  const DType dtype = args.result().type.dtype;
  const bool ints = op != Binary::kDiv;
  if (!OneDType(args) || !(HasFloats(dtype) || (ints && dtype == DType::kI32))) {
    return UnsupportedOnCuda(name, args, ints ? "f32, bf16, f64 or i32" : "f32, bf16 or f64");
  }
  const auto nest =
      cuda::MakeBroadcastNest(args.result().type.shape, {&args.input(0).type.shape, &args.input(1).type.shape});
  if (!nest) return UnsupportedOnCuda(name, args, "eight axes that broadcast differently");
  return BoundKernel([=, nest = *nest, stream = CudaDeviceOf(args).stream(), a = args.input(0).data,
                      b = args.input(1).data,
                      y = args.result().data] { cuda::ApplyBinary(stream, op, dtype, nest, a, b, y); });
}

StatusOr<BoundKernel> BindUnary(const KernelArgs& args, Unary op, std::string_view name) {
  const DType dtype = args.result().type.dtype;
  const bool ints = op == Unary::kNeg;
  if (!OneDType(args) || !(HasFloats(dtype) || (ints && dtype == DType::kI32))) {
    return UnsupportedOnCuda(name, args, ints ? "f32, bf16, f64 or i32" : "f32, bf16 or f64");
  }
  return BoundKernel([=, stream = CudaDeviceOf(args).stream(), x = args.input(0).data, y = args.result().data,
                      count = args.result().count()] { cuda::ApplyUnary(stream, op, dtype, x, y, count); });
}

}  // namespace

StatusOr<BoundKernel> BindCudaAdd(const KernelArgs& args) { return BindBinary(args, Binary::kAdd, "add"); }
StatusOr<BoundKernel> BindCudaSub(const KernelArgs& args) { return BindBinary(args, Binary::kSub, "sub"); }
StatusOr<BoundKernel> BindCudaMul(const KernelArgs& args) { return BindBinary(args, Binary::kMul, "mul"); }
StatusOr<BoundKernel> BindCudaDiv(const KernelArgs& args) { return BindBinary(args, Binary::kDiv, "div"); }
StatusOr<BoundKernel> BindCudaMax(const KernelArgs& args) { return BindBinary(args, Binary::kMax, "max"); }
StatusOr<BoundKernel> BindCudaNeg(const KernelArgs& args) { return BindUnary(args, Unary::kNeg, "neg"); }
StatusOr<BoundKernel> BindCudaExp(const KernelArgs& args) { return BindUnary(args, Unary::kExp, "exp"); }
StatusOr<BoundKernel> BindCudaLog(const KernelArgs& args) { return BindUnary(args, Unary::kLog, "log"); }
StatusOr<BoundKernel> BindCudaTanh(const KernelArgs& args) { return BindUnary(args, Unary::kTanh, "tanh"); }
StatusOr<BoundKernel> BindCudaErf(const KernelArgs& args) { return BindUnary(args, Unary::kErf, "erf"); }
StatusOr<BoundKernel> BindCudaSqrt(const KernelArgs& args) { return BindUnary(args, Unary::kSqrt, "sqrt"); }
StatusOr<BoundKernel> BindCudaRsqrt(const KernelArgs& args) { return BindUnary(args, Unary::kRsqrt, "rsqrt"); }

}  // namespace gptc
