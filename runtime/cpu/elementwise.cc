// Elementwise arithmetic. Operands broadcast as in NumPy; a result may lie over an operand of its own type.
//
//   add sub mul div max   f32, bf16 (computed in f32), f64; all but div also i32 (wrapping)
//   neg                   the same
//   exp log tanh erf sqrt rsqrt   f32, bf16, f64
//
// max gives NaN where either operand is NaN. exp, tanh, erf and log are within 4 units in the last place of f32
// (simd-inl.h). Parallel over pieces of rows. Memory bound: reads each operand once, writes the result once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/elementwise.cc"
#include "runtime/cpu/elementwise.h"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/elementwise-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_ELEMENTWISE_ONCE
#define GPTC_RUNTIME_CPU_ELEMENTWISE_ONCE
#include <cmath>
#include <limits>

#include "runtime/cpu/broadcast.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/unsupported.h"

#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

void BinaryF32(Binary op, const float* a, bool a_steps, const float* b, bool b_steps, float* y, size_t n) {
  BinaryRow(op, a, a_steps, b, b_steps, y, n);
}
void BinaryBf16(Binary op, const Bf16* a, bool a_steps, const Bf16* b, bool b_steps, Bf16* y, size_t n) {
  BinaryRow(op, a, a_steps, b, b_steps, y, n);
}

void UnaryF32(Unary op, const float* x, float* y, size_t n) { UnaryRow(op, x, y, n); }
void UnaryBf16(Unary op, const Bf16* x, Bf16* y, size_t n) { UnaryRow(op, x, y, n); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(BinaryF32);
HWY_EXPORT(BinaryBf16);
HWY_EXPORT(UnaryF32);
HWY_EXPORT(UnaryBf16);

// Wraps where it overflows.
template <typename F>
int32_t Wrapping(int32_t a, int32_t b, F f) {
  return static_cast<int32_t>(f(static_cast<uint32_t>(a), static_cast<uint32_t>(b)));
}

double Apply(Binary op, double a, double b) {
  switch (op) {
    case Binary::kAdd:
      return a + b;
    case Binary::kSub:
      return a - b;
    case Binary::kMul:
      return a * b;
    case Binary::kDiv:
      return a / b;
    case Binary::kMax:
      return a > b || std::isnan(a) ? a : b;
  }
  return 0;
}
int32_t Apply(Binary op, int32_t a, int32_t b) {
  switch (op) {
    case Binary::kAdd:
      return Wrapping(a, b, [](uint32_t u, uint32_t v) { return u + v; });
    case Binary::kSub:
      return Wrapping(a, b, [](uint32_t u, uint32_t v) { return u - v; });
    case Binary::kMul:
      return Wrapping(a, b, [](uint32_t u, uint32_t v) { return u * v; });
    case Binary::kDiv:
      return 0;  // refused when bound
    case Binary::kMax:
      return std::max(a, b);
  }
  return 0;
}

double Apply(Unary op, double x) {
  switch (op) {
    case Unary::kNeg:
      return -x;
    case Unary::kExp:
      return std::exp(x);
    case Unary::kLog:
      return std::log(x);
    case Unary::kTanh:
      return std::tanh(x);
    case Unary::kErf:
      return std::erf(x);
    case Unary::kSqrt:
      return std::sqrt(x);
    case Unary::kRsqrt:
      return 1 / std::sqrt(x);
  }
  return 0;
}

// row(op, a, a_steps, b, b_steps, y, n) over the rows of the nest.
template <typename T, typename RowFunction>
BoundKernel BinaryLoop(const KernelArgs& args, Binary op, RowFunction row_function) {
  auto nest = MakeLoopNest<2>(args.result().type.shape, {&args.input(0).type.shape, &args.input(1).type.shape});
  return [=, a = args.input(0).as<const T>(), b = args.input(1).as<const T>(), y = args.result().as<T>()] {
    ForEachRow(nest, 1, [&](const std::array<int64_t, 2>& offset, int64_t place, int64_t n) {
      row_function(op, a + offset[0], nest.inner[0], b + offset[1], nest.inner[1], y + place, static_cast<size_t>(n));
    });
  };
}

template <typename T>
void PlainBinaryRow(Binary op, const T* a, bool a_steps, const T* b, bool b_steps, T* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = Apply(op, a[a_steps ? i : 0], b[b_steps ? i : 0]);
}

StatusOr<BoundKernel> BindBinary(const KernelArgs& args, Binary op, std::string_view name) {
  const DType dtype = args.result().type.dtype;
  if (args.input(0).type.dtype == dtype && args.input(1).type.dtype == dtype) {
    if (dtype == DType::kF32)
      return BinaryLoop<float>(args, op, [](auto... row) { HWY_DYNAMIC_DISPATCH(BinaryF32)(row...); });
    if (dtype == DType::kBF16)
      return BinaryLoop<Bf16>(args, op, [](auto... row) { HWY_DYNAMIC_DISPATCH(BinaryBf16)(row...); });
    if (dtype == DType::kF64) return BinaryLoop<double>(args, op, PlainBinaryRow<double>);
    if (dtype == DType::kI32 && op != Binary::kDiv) return BinaryLoop<int32_t>(args, op, PlainBinaryRow<int32_t>);
  }
  return Unsupported(name, args, op == Binary::kDiv ? "f32, bf16 or f64" : "f32, bf16, f64 or i32");
}

template <typename T, typename RowFunction>
BoundKernel UnaryLoop(const KernelArgs& args, Unary op, RowFunction row_function) {
  // A transcendental costs several plain operations.
  const int64_t grain = op == Unary::kNeg ? kChunkWork : kChunkWork / 4;
  return [=, x = args.input(0).as<const T>(), y = args.result().as<T>(), count = args.result().count()] {
    ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
      row_function(op, x + begin, y + begin, static_cast<size_t>(end - begin));
    });
  };
}

StatusOr<BoundKernel> BindUnary(const KernelArgs& args, Unary op, std::string_view name) {
  const DType dtype = args.result().type.dtype;
  if (args.input(0).type.dtype == dtype) {
    if (dtype == DType::kF32)
      return UnaryLoop<float>(args, op, [](auto... row) { HWY_DYNAMIC_DISPATCH(UnaryF32)(row...); });
    if (dtype == DType::kBF16)
      return UnaryLoop<Bf16>(args, op, [](auto... row) { HWY_DYNAMIC_DISPATCH(UnaryBf16)(row...); });
    if (dtype == DType::kF64) {
      return UnaryLoop<double>(args, op, [](Unary o, const double* x, double* y, size_t n) {
        for (size_t i = 0; i < n; ++i) y[i] = Apply(o, x[i]);
      });
    }
    if (dtype == DType::kI32 && op == Unary::kNeg) {
      return UnaryLoop<int32_t>(args, op, [](Unary, const int32_t* x, int32_t* y, size_t n) {
        for (size_t i = 0; i < n; ++i) y[i] = static_cast<int32_t>(0u - static_cast<uint32_t>(x[i]));
      });
    }
  }
  return Unsupported(name, args, op == Unary::kNeg ? "f32, bf16, f64 or i32" : "f32, bf16 or f64");
}

}  // namespace

StatusOr<BoundKernel> BindCpuAdd(const KernelArgs& args) { return BindBinary(args, Binary::kAdd, "add"); }
StatusOr<BoundKernel> BindCpuSub(const KernelArgs& args) { return BindBinary(args, Binary::kSub, "sub"); }
StatusOr<BoundKernel> BindCpuMul(const KernelArgs& args) { return BindBinary(args, Binary::kMul, "mul"); }
StatusOr<BoundKernel> BindCpuDiv(const KernelArgs& args) { return BindBinary(args, Binary::kDiv, "div"); }
StatusOr<BoundKernel> BindCpuMax(const KernelArgs& args) { return BindBinary(args, Binary::kMax, "max"); }
StatusOr<BoundKernel> BindCpuNeg(const KernelArgs& args) { return BindUnary(args, Unary::kNeg, "neg"); }
StatusOr<BoundKernel> BindCpuExp(const KernelArgs& args) { return BindUnary(args, Unary::kExp, "exp"); }
StatusOr<BoundKernel> BindCpuLog(const KernelArgs& args) { return BindUnary(args, Unary::kLog, "log"); }
StatusOr<BoundKernel> BindCpuTanh(const KernelArgs& args) { return BindUnary(args, Unary::kTanh, "tanh"); }
StatusOr<BoundKernel> BindCpuErf(const KernelArgs& args) { return BindUnary(args, Unary::kErf, "erf"); }
StatusOr<BoundKernel> BindCpuSqrt(const KernelArgs& args) { return BindUnary(args, Unary::kSqrt, "sqrt"); }
StatusOr<BoundKernel> BindCpuRsqrt(const KernelArgs& args) { return BindUnary(args, Unary::kRsqrt, "rsqrt"); }

}  // namespace gptc
#endif  // HWY_ONCE
