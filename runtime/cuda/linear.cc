// Linear layers with what follows them, as an epilogue of the product where the engine has it, else as the product and
// the kernels of what follows.
#include "runtime/cuda/linear.h"

#include <vector>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

using Epilogue = GemmProblem::Epilogue;

TensorView OptionalInput(const KernelArgs& args, size_t i) { return args.has(i) ? args.input(i) : TensorView{}; }

BoundKernel Both(BoundKernel first, BoundKernel second) {
  return [first = std::move(first), second = std::move(second)] {
    first();
    second();
  };
}

// A kernel of another op on these tensors.
StatusOr<BoundKernel> BindOther(KernelFactory factory, const KernelArgs& args, std::vector<TensorView> inputs,
                                std::vector<TensorView> results, const Attributes& attributes) {
  return factory({inputs, results, attributes, args.scratch, args.device});
}

// gelu of the product; with `saved`, what gelu is taken of is result 1.
StatusOr<BoundKernel> BindGelu(std::string_view op, const KernelArgs& args, bool saved) {
  ASSIGN_OR_RETURN(GemmProblem problem, LinearProblem(op, args, OptionalInput(args, 2), false));
  if (problem.m * problem.n == 0) return BoundKernel([] {});
  const TensorView &y = args.result(0), &u = args.result(saved ? 1 : 0);
  Gemm& gemm = CudaDeviceOf(args).gemm();
  const GemmProblem plain = problem;
  if (args.attributes.Bool("tanh")) {
    problem.epilogue = saved ? Epilogue::kGeluBiasSaved : Epilogue::kGeluBias;
    if (saved) {
      problem.aux = u.data;
      problem.aux_leading = problem.n;
    }
    StatusOr<BoundKernel> whole = gemm.Bind(problem, args.scratch);
    if (!absl::IsUnimplemented(whole.status())) return whole;
  }
  GemmProblem product = plain;
  product.y.data = u.data;
  ASSIGN_OR_RETURN(BoundKernel first, gemm.Bind(product, args.scratch));
  Attributes attributes;
  attributes.Set("tanh", args.attributes.Bool("tanh"));
  ASSIGN_OR_RETURN(BoundKernel second, BindOther(&BindCudaGelu, args, {u}, {y}, attributes));
  return Both(std::move(first), std::move(second));
}

}  // namespace

StatusOr<BoundKernel> BindCudaLinearResidual(const KernelArgs& args) {
  ASSIGN_OR_RETURN(GemmProblem problem, LinearProblem("linear_residual", args, OptionalInput(args, 3), false));
  if (args.input(2).type != args.result().type) {
    return UnsupportedOnCuda("linear_residual", args, "a residual of the result's type");
  }
  if (problem.m * problem.n == 0) return BoundKernel([] {});
  problem.c = args.input(2).data;
  return CudaDeviceOf(args).gemm().Bind(problem, args.scratch);
}

StatusOr<BoundKernel> BindCudaLinearGelu(const KernelArgs& args) { return BindGelu("linear_gelu", args, false); }
StatusOr<BoundKernel> BindCudaLinearGeluSaved(const KernelArgs& args) {
  return BindGelu("linear_gelu_saved", args, true);
}

StatusOr<BoundKernel> BindCudaLinearGeluBackward(const KernelArgs& args) {
  ASSIGN_OR_RETURN(GemmProblem problem, LinearProblem("linear_gelu_backward", args, {}, /*transposed=*/true));
  const TensorView &u = args.input(2), &du = args.result(0), &dbias = args.result(1);
  Gemm& gemm = CudaDeviceOf(args).gemm();
  if (args.attributes.Bool("tanh") && problem.m * problem.n > 0) {
    GemmProblem whole = problem;
    whole.epilogue = Epilogue::kDGeluBiasGrad;
    whole.aux = u.data;
    whole.aux_leading = problem.n;
    whole.bias = dbias.data;
    whole.bias_dtype = dbias.type.dtype;
    StatusOr<BoundKernel> bound = gemm.Bind(whole, args.scratch);
    if (!absl::IsUnimplemented(bound.status())) return bound;
  }
  Attributes sum;
  std::vector<int64_t> axes;
  for (int axis = 0; axis + 1 < du.rank(); ++axis) axes.push_back(axis);
  sum.Set("axes", axes);
  sum.Set("keep", false);
  sum.Set("widen", du.type.dtype != dbias.type.dtype);
  ASSIGN_OR_RETURN(BoundKernel columns, BindOther(&BindCudaSum, args, {du}, {dbias}, sum));
  if (args.attributes.Bool("tanh") && problem.m * problem.n > 0) {
    GemmProblem derivative = problem;
    derivative.epilogue = Epilogue::kDGelu;
    derivative.aux = u.data;
    derivative.aux_leading = problem.n;
    StatusOr<BoundKernel> bound = gemm.Bind(derivative, args.scratch);
    if (bound.ok()) return Both(*std::move(bound), std::move(columns));
    if (!absl::IsUnimplemented(bound.status())) return bound;
  }
  BoundKernel product = [] {};
  if (problem.m * problem.n > 0) {
    ASSIGN_OR_RETURN(product, gemm.Bind(problem, args.scratch));
  }
  Attributes gelu;
  gelu.Set("tanh", args.attributes.Bool("tanh"));
  ASSIGN_OR_RETURN(BoundKernel gradient, BindOther(&BindCudaGeluBackward, args, {u, du}, {du}, gelu));
  return Both(std::move(product), Both(std::move(gradient), std::move(columns)));
}

}  // namespace gptc
