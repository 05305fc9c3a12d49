#include <algorithm>
#include <vector>

#include "runtime/cpu/kernels.h"
#include "runtime/cpu/product.h"

namespace gptc {
namespace {

// Leading axes of an operand, with 1s in front up to `rank` of them.
std::vector<int64_t> Leading(const Shape& shape, size_t rank) {
  std::vector<int64_t> leading(rank - (shape.size() - 2), 1);
  leading.insert(leading.end(), shape.begin(), shape.end() - 2);
  return leading;
}

}  // namespace

StatusOr<BoundKernel> BindCpuMatMul(const KernelArgs& args) {
  Product p;
  p.a = args.input(0);
  p.b = args.input(1);
  p.y = args.result();
  if (args.has(2)) p.c = args.input(2);
  p.transpose_a = args.attributes.Bool("transpose_a");
  p.transpose_b = args.attributes.Bool("transpose_b");
  p.m = p.y.dim(-2);
  p.n = p.y.dim(-1);
  p.k = p.a.dim(p.transpose_a ? -2 : -1);
  const size_t rank = p.y.type.shape.size() - 2;
  p.batch_a = Leading(p.a.type.shape, rank);
  p.batch_b = Leading(p.b.type.shape, rank);
  p.batch_y = Leading(p.y.type.shape, rank);
  if (ElementCount(p.batch_b) == 1 && (!p.transpose_a || ElementCount(p.batch_y) == 1)) {
    // One matrix b for all: the leading axes are more rows.
    p.m *= ElementCount(p.batch_y);
    p.batch_a = p.batch_b = p.batch_y = {};
  } else if (p.batch_a == p.batch_b) {
    p.batch_a = p.batch_b = p.batch_y = {ElementCount(p.batch_y)};
  }
  return BindProduct(p, args.scratch);
}

StatusOr<BoundKernel> BindCpuLinear(const KernelArgs& args) {
  Product p = ProductWithWeights(args);
  if (args.has(2)) p.bias = args.input(2);
  return BindProduct(p, args.scratch);
}

}  // namespace gptc
