// Binders of products: shapes and attributes become one GemmProblem, or as many as broadcast leading axes need.
#include <vector>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/linear.h"

namespace gptc {
namespace {

// The leading axes of a product, with the elements between neighbours of each in a, b and y; 0 where one is repeated.
struct Batches {
  std::vector<int64_t> sizes, a, b, y;
};

Batches BatchesOf(const TensorView& a, const TensorView& b, const TensorView& y) {
  Batches batches;
  int64_t a_stride = a.dim(-1) * a.dim(-2), b_stride = b.dim(-1) * b.dim(-2), y_stride = y.dim(-1) * y.dim(-2);
  for (int back = 3; back <= y.rank(); ++back) {
    const int64_t a_size = back <= a.rank() ? a.dim(-back) : 1, b_size = back <= b.rank() ? b.dim(-back) : 1;
    batches.sizes.push_back(y.dim(-back));
    batches.a.push_back(a_size == 1 ? 0 : a_stride);
    batches.b.push_back(b_size == 1 ? 0 : b_stride);
    batches.y.push_back(y_stride);
    a_stride *= a_size;
    b_stride *= b_size;
    y_stride *= y.dim(-back);
  }
  // An axis goes into the one inside it where in all three its steps follow that one's.
  for (size_t i = 0; i + 1 < batches.sizes.size();) {
    const auto follows = [&](const std::vector<int64_t>& strides) {
      return strides[i + 1] == strides[i] * batches.sizes[i];
    };
    if (!follows(batches.a) || !follows(batches.b) || !follows(batches.y)) {
      ++i;
      continue;
    }
    batches.sizes[i] *= batches.sizes[i + 1];
    for (auto* list : {&batches.sizes, &batches.a, &batches.b, &batches.y}) list->erase(list->begin() + i + 1);
  }
  return batches;
}

void* At(const TensorView& view, int64_t element) { return view.as<std::byte>() + element * SizeOf(view.type.dtype); }

}  // namespace

bool IsProduct(DType a, DType b, DType y) {
  if (a != b) return false;
  if (a == DType::kF32 || a == DType::kF64) return y == a;
  return (a == DType::kBF16 || a == DType::kF16) && (y == a || y == DType::kF32);
}

StatusOr<BoundKernel> BindCudaMatMul(const KernelArgs& args) {
  const TensorView &a = args.input(0), &b = args.input(1), &y = args.result();
  if (!IsProduct(a.type.dtype, b.type.dtype, y.type.dtype) || (args.has(2) && args.input(2).type != y.type)) {
    return UnsupportedOnCuda("matmul", args, "f32, f64, bf16 or f16 operands, c of the result's type");
  }
  if (y.count() == 0) return BoundKernel([] {});
  const bool transpose_a = args.attributes.Bool("transpose_a"), transpose_b = args.attributes.Bool("transpose_b");
  GemmProblem problem{.m = y.dim(-2), .n = y.dim(-1), .k = a.dim(transpose_a ? -2 : -1)};
  Batches batches = BatchesOf(a, b, y);
  // Rows of several matrices times one matrix are rows of one.
  if (!batches.sizes.empty() && !transpose_a && batches.b[0] == 0 && batches.a[0] == problem.m * problem.k) {
    problem.m *= batches.sizes[0];
    for (auto* list : {&batches.sizes, &batches.a, &batches.b, &batches.y}) list->erase(list->begin());
  }
  if (!batches.sizes.empty()) problem.batch = batches.sizes[0];
  const auto stride = [&](const std::vector<int64_t>& strides) { return strides.empty() ? 0 : strides[0]; };
  int64_t products = 1;
  for (size_t i = 1; i < batches.sizes.size(); ++i) products *= batches.sizes[i];
  std::vector<BoundKernel> bound;
  for (int64_t index = 0; index < products; ++index) {
    int64_t rest = index, a_at = 0, b_at = 0, y_at = 0;
    for (size_t i = 1; i < batches.sizes.size(); ++i) {
      const int64_t here = rest % batches.sizes[i];
      rest /= batches.sizes[i];
      a_at += here * batches.a[i];
      b_at += here * batches.b[i];
      y_at += here * batches.y[i];
    }
    problem.a = {At(a, a_at), a.type.dtype, transpose_a, a.dim(-1), stride(batches.a)};
    problem.b = {At(b, b_at), b.type.dtype, transpose_b, b.dim(-1), stride(batches.b)};
    problem.y = {At(y, y_at), y.type.dtype, false, y.dim(-1), stride(batches.y)};
    problem.c = args.has(2) ? At(args.input(2), y_at) : nullptr;
    ASSIGN_OR_RETURN(BoundKernel kernel, CudaDeviceOf(args).gemm().Bind(problem, args.scratch));
    bound.push_back(std::move(kernel));
  }
  if (bound.size() == 1) return bound[0];
  return BoundKernel([bound] {
    for (const BoundKernel& kernel : bound) kernel();
  });
}

StatusOr<GemmProblem> LinearProblem(std::string_view op, const KernelArgs& args, const TensorView& bias,
                                    bool transposed) {
  const TensorView &x = args.input(0), &w = args.input(1), &y = args.result();
  if (args.attributes.Int("columns") != 0 || !IsProduct(x.type.dtype, w.type.dtype, y.type.dtype)) {
    return UnsupportedOnCuda(op, args, "f32, f64, bf16 or f16 operands, weights that are not packed");
  }
  GemmProblem problem;
  problem.k = x.dim(-1);
  problem.n = y.dim(-1);
  problem.m = problem.n == 0 ? 0 : y.count() / problem.n;
  problem.a = {x.data, x.type.dtype, false, problem.k};
  problem.b = {w.data, w.type.dtype, transposed, w.dim(-1)};
  problem.y = {y.data, y.type.dtype, false, problem.n};
  if (bias.data != nullptr) {
    problem.epilogue = GemmProblem::Epilogue::kBias;
    problem.bias = bias.data;
    problem.bias_dtype = bias.type.dtype;
  }
  return problem;
}

StatusOr<BoundKernel> BindCudaLinear(const KernelArgs& args) {
  ASSIGN_OR_RETURN(const GemmProblem problem,
                   LinearProblem("linear", args, args.has(2) ? args.input(2) : TensorView{}, false));
  if (problem.m * problem.n == 0) return BoundKernel([] {});
  return CudaDeviceOf(args).gemm().Bind(problem, args.scratch);
}

StatusOr<BoundKernel> BindCudaPack(const KernelArgs& args) {
  return UnsupportedOnCuda("pack", args, "nothing: packed weights are a layout of CPU targets");
}

}  // namespace gptc
