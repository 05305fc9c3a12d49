// Linear layers with what follows them: as an epilogue of the product where the engine has it, or as the product and
// the kernels of what follows. The first way that there is, unless `gptrun tune` found another to be faster.
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
struct Follower {
  KernelFactory factory;
  std::vector<TensorView> inputs, results;
  Attributes attributes;
};

// The product, and then the kernels of other ops.
GemmWay InParts(std::string name, const KernelArgs& args, const GemmProblem& product, std::vector<Follower> followers) {
  return {
      std::move(name),
      [device = args.device, product, followers = std::move(followers)](ScratchPool& scratch) -> StatusOr<BoundKernel> {
        BoundKernel bound = [] {};
        if (product.m * product.n > 0) {
          ASSIGN_OR_RETURN(bound, static_cast<CudaDevice*>(device)->gemm().Bind(product, scratch));
        }
        for (const Follower& next : followers) {
          ASSIGN_OR_RETURN(BoundKernel follower,
                           next.factory({next.inputs, next.results, next.attributes, scratch, device}));
          bound = Both(std::move(bound), std::move(follower));
        }
        return bound;
      }};
}
GemmWay Whole(std::string name, const KernelArgs& args, const GemmProblem& product) {
  return InParts(std::move(name), args, product, {});
}

StatusOr<BoundKernel> BindFastest(std::string_view op, const KernelArgs& args, const GemmProblem& product,
                                  std::vector<GemmWay> ways) {
  return CudaDeviceOf(args).gemm().BindFastest(Cat(op, " ", product.Name()), std::move(ways), args.scratch);
}

Attributes Tanh(const KernelArgs& args) { return {{"tanh", args.attributes.Bool("tanh")}}; }

// The sum over all axes but the last.
Follower ColumnSum(const TensorView& x, const TensorView& y) {
  std::vector<int64_t> axes;
  for (int axis = 0; axis + 1 < x.rank(); ++axis) axes.push_back(axis);
  return {&BindCudaSum, {x}, {y}, {{"axes", axes}, {"keep", false}, {"widen", x.type.dtype != y.type.dtype}}};
}

StatusOr<BoundKernel> BindRelu(std::string_view op, const KernelArgs& args) {
  ASSIGN_OR_RETURN(const GemmProblem problem, LinearProblem(op, args, OptionalInput(args, 2), false));
  if (problem.m * problem.n == 0) return BoundKernel([] {});
  GemmProblem whole = problem;
  whole.epilogue = Epilogue::kReluBias;
  const TensorView& y = args.result();
  return BindFastest(
      op, args, problem,
      {Whole("relu", args, whole), InParts("product, relu", args, problem, {{&BindCudaRelu, {y}, {y}, {}}})});
}

// gelu of the product; with `saved`, what gelu is taken of is result 1.
StatusOr<BoundKernel> BindGelu(std::string_view op, const KernelArgs& args, bool saved) {
  ASSIGN_OR_RETURN(const GemmProblem problem, LinearProblem(op, args, OptionalInput(args, 2), false));
  if (problem.m * problem.n == 0) return BoundKernel([] {});
  const TensorView &y = args.result(0), &u = args.result(saved ? 1 : 0);
  std::vector<GemmWay> ways;
  if (args.attributes.Bool("tanh")) {
    GemmProblem whole = problem;
    whole.epilogue = saved ? Epilogue::kGeluBiasSaved : Epilogue::kGeluBias;
    if (saved) {
      whole.aux = u.data;
      whole.aux_leading = problem.n;
    }
    ways.push_back(Whole(saved ? "gelu_saved" : "gelu", args, whole));
  }
  GemmProblem product = problem;
  product.y.data = u.data;
  ways.push_back(InParts("product, gelu", args, product, {{&BindCudaGelu, {u}, {y}, Tanh(args)}}));
  return BindFastest(op, args, problem, std::move(ways));
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

StatusOr<BoundKernel> BindCudaLinearRelu(const KernelArgs& args) { return BindRelu("linear_relu", args); }
StatusOr<BoundKernel> BindCudaLinearGelu(const KernelArgs& args) { return BindGelu("linear_gelu", args, false); }
StatusOr<BoundKernel> BindCudaLinearGeluSaved(const KernelArgs& args) {
  return BindGelu("linear_gelu_saved", args, true);
}

StatusOr<BoundKernel> BindCudaLinearGeluBackward(const KernelArgs& args) {
  constexpr std::string_view kOp = "linear_gelu_backward";
  ASSIGN_OR_RETURN(const GemmProblem problem, LinearProblem(kOp, args, {}, /*transposed=*/true));
  const TensorView &u = args.input(2), &du = args.result(0), &dbias = args.result(1);
  std::vector<GemmWay> ways;
  if (args.attributes.Bool("tanh") && problem.m * problem.n > 0) {
    GemmProblem derivative = problem;
    derivative.epilogue = Epilogue::kDGelu;
    derivative.aux = u.data;
    derivative.aux_leading = problem.n;
    GemmProblem whole = derivative;
    whole.epilogue = Epilogue::kDGeluBiasGrad;
    whole.bias = dbias.data;
    whole.bias_dtype = dbias.type.dtype;
    ways.push_back(Whole("dgelu_bias_grad", args, whole));
    ways.push_back(InParts("dgelu, sum", args, derivative, {ColumnSum(du, dbias)}));
  }
  ways.push_back(InParts("product, gelu_backward, sum", args, problem,
                         {{&BindCudaGeluBackward, {u, du}, {du}, Tanh(args)}, ColumnSum(du, dbias)}));
  return BindFastest(kOp, args, problem, std::move(ways));
}

StatusOr<BoundKernel> BindCudaLinearWeightGradient(const KernelArgs& args) {
  constexpr std::string_view kOp = "linear_weight_gradient";
  const TensorView &x = args.input(0), &dy = args.input(1), &dw = args.result(0), &dbias = args.result(1);
  if (!IsProduct(x.type.dtype, dy.type.dtype, dw.type.dtype)) {
    return UnsupportedOnCuda(kOp, args, "f32, f64, bf16 or f16 operands");
  }
  GemmProblem problem{.m = x.dim(1), .n = dy.dim(1), .k = x.dim(0)};
  problem.a = {x.data, x.type.dtype, true, x.dim(1)};
  problem.b = {dy.data, dy.type.dtype, false, dy.dim(1)};
  problem.y = {dw.data, dw.type.dtype, false, dw.dim(1)};
  if (args.has(2)) problem.c = args.input(2).data;
  std::vector<GemmWay> ways;
  ways.push_back(InParts("product, sum", args, problem, {ColumnSum(dy, dbias)}));
  if (problem.m * problem.n > 0) {
    GemmProblem whole = problem;
    whole.epilogue = Epilogue::kBiasGradB;
    whole.bias = dbias.data;
    whole.bias_dtype = dbias.type.dtype;
    ways.push_back(Whole("bias_grad", args, whole));
  }
  return BindFastest(kOp, args, problem, std::move(ways));
}

}  // namespace gptc
