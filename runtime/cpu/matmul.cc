#include "runtime/cpu/matmul.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "runtime/cpu/convert.h"
#include "runtime/cpu/gemv.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/onednn.h"

namespace gptc {

ProductRoute ChooseProductRoute(const ProductShape& shape) {
  constexpr int64_t kL2Elements = 256 * 1024;  // 1 MiB of f32
  constexpr int64_t kRowsThatPayForPacking = 48;
  if (shape.batches > 1) return ProductRoute::kPlain;
  if (shape.m <= kGemvRows && !shape.transpose_a) return ProductRoute::kGemv;
  if (!shape.bias || shape.m < kRowsThatPayForPacking) return ProductRoute::kSgemm;
  return shape.k > kL2Elements / std::max<int64_t>(1, shape.n) ? ProductRoute::kPacked : ProductRoute::kPlain;
}

namespace {

// One product, its leading axes worked out.
struct Product {
  TensorView a, b, y;
  TensorView added;  // c [as y] or bias [n]; no address where there is neither
  bool transpose_a = false, transpose_b = false, bias = false;
  std::vector<int64_t> batch_a, batch_b,
      batch_y;  // leading axes, as many in each, 1 where broadcast; empty for one product
  int64_t m = 0, n = 0, k = 0;
};

int64_t Batches(const Product& p) { return ElementCount(p.batch_y); }

StridedOperand Strided(DType dtype, const std::vector<int64_t>& batch, int64_t rows, int64_t columns, bool transpose) {
  StridedOperand operand{dtype, batch, std::vector<int64_t>(batch.size())};
  int64_t step = rows * columns;
  for (size_t i = batch.size(); i-- > 0;) {
    operand.strides[i] = step;
    step *= batch[i];
  }
  operand.shape.insert(operand.shape.end(), {rows, columns});
  if (transpose) {
    operand.strides.insert(operand.strides.end(), {1, rows});
  } else {
    operand.strides.insert(operand.strides.end(), {columns, 1});
  }
  return operand;
}

OnednnProductSpec SpecOf(const Product& p, DType operands, DType result) {
  OnednnProductSpec spec;
  spec.a = Strided(operands, p.batch_a, p.m, p.k, p.transpose_a);
  spec.b = Strided(operands, p.batch_b, p.k, p.n, p.transpose_b);
  spec.y = Strided(result, p.batch_y, p.m, p.n, false);
  return spec;
}

// y before the product is added to it: c, the bias in every row, or 0. Works in y's own type or in f32.
void Initialize(const Product& p, float* y, bool zero) {
  const int64_t rows = Batches(p) * p.m;
  if (p.added.data == nullptr) {
    if (zero) std::memset(y, 0, sizeof(float) * rows * p.n);
  } else if (p.bias) {
    FillRows(p.added.type.dtype, p.added.data, y, rows, p.n);
  } else if (p.added.data != y) {
    ConvertToFloat(p.added.type.dtype, p.added.data, y, rows * p.n);
  }
}

// In f32, through conversions of what is not. `gemv` takes bf16 matrices as they are.
StatusOr<BoundKernel> BindF32(const Product& p, ScratchPool& scratch) {
  struct State {
    Product p;
    ScratchPool* scratch;
    ProductRoute route;
    bool convert_a, convert_b, convert_y, convert_bias, initialize, zero;
    size_t at_a = 0, at_b = 0, at_y = 0, at_bias = 0, at_product = 0;
    std::unique_ptr<OnednnProduct> product;
  };
  auto state = std::make_shared<State>();
  State& s = *state;
  s.p = p;
  s.scratch = &scratch;
  s.route = ChooseProductRoute({Batches(p), p.m, p.n, p.k, p.transpose_a, p.bias});
  const bool empty_sum = p.k == 0;
  if (empty_sum) s.route = ProductRoute::kGemv;
  const bool gemv = s.route == ProductRoute::kGemv;
  const bool onednn = s.route == ProductRoute::kPacked || s.route == ProductRoute::kPlain;
  s.convert_a = p.a.type.dtype != DType::kF32;
  s.convert_b = p.b.type.dtype != DType::kF32 && !(gemv && p.b.type.dtype == DType::kBF16);
  s.convert_y = p.y.type.dtype != DType::kF32;
  // oneDNN adds a bias of its own accord.
  const bool bias_in_product = onednn && p.bias;
  s.convert_bias = bias_in_product && p.added.type.dtype != DType::kF32;
  s.initialize = (p.added.data != nullptr && !bias_in_product) || gemv;
  s.zero = gemv;

  ScratchLayout layout;
  if (s.convert_a) s.at_a = layout.Add(sizeof(float) * p.a.count());
  if (s.convert_b) s.at_b = layout.Add(sizeof(float) * p.b.count());
  if (s.convert_y) s.at_y = layout.Add(sizeof(float) * p.y.count());
  if (s.convert_bias) s.at_bias = layout.Add(sizeof(float) * p.n);
  if (onednn) {
    OnednnProductSpec spec = SpecOf(p, DType::kF32, DType::kF32);
    spec.pack_b = s.route == ProductRoute::kPacked;
    if (bias_in_product) spec.bias = DType::kF32;
    spec.accumulate = s.initialize;
    ASSIGN_OR_RETURN(s.product, OnednnProduct::Create(spec));
    s.at_product = layout.Add(s.product->scratch_bytes());
  }
  scratch.Request(layout.bytes(), omp_get_max_threads());

  return BoundKernel([state] {
    State& r = *state;
    const Product& q = r.p;
    char* base = static_cast<char*>(r.scratch->data());
    const void *a = q.a.data, *b = q.b.data, *bias = q.added.data;
    if (r.convert_a) {
      float* converted = reinterpret_cast<float*>(base + r.at_a);
      ConvertToFloat(q.a.type.dtype, a, converted, q.a.count());
      a = converted;
    }
    if (r.convert_b) {
      float* converted = reinterpret_cast<float*>(base + r.at_b);
      ConvertToFloat(q.b.type.dtype, b, converted, q.b.count());
      b = converted;
    }
    if (r.convert_bias) {
      float* converted = reinterpret_cast<float*>(base + r.at_bias);
      ConvertToFloat(q.added.type.dtype, bias, converted, q.n);
      bias = converted;
    }
    float* y = r.convert_y ? reinterpret_cast<float*>(base + r.at_y) : q.y.as<float>();
    if (r.initialize) Initialize(q, y, r.zero);
    switch (r.route) {
      case ProductRoute::kGemv:
        if (q.k > 0) {
          Gemv(static_cast<const float*>(a), r.convert_b ? DType::kF32 : q.b.type.dtype, b, q.transpose_b, y, q.m, q.n,
               q.k);
        }
        break;
      case ProductRoute::kSgemm:
        Sgemm(q.transpose_a, q.transpose_b, q.m, q.n, q.k, static_cast<const float*>(a), static_cast<const float*>(b),
              r.initialize, y);
        break;
      case ProductRoute::kPacked:
      case ProductRoute::kPlain:
        r.product->Execute(a, b, bias, y, base + r.at_product);
        break;
    }
    if (r.convert_y) ConvertFromFloat(q.y.type.dtype, y, q.y.data, q.y.count());
  });
}

// bf16 operands through oneDNN's bf16 products, which accumulate in f32. Unimplemented where the machine has none.
StatusOr<BoundKernel> BindBf16(const Product& p, ScratchPool& scratch) {
  OnednnProductSpec spec = SpecOf(p, DType::kBF16, p.y.type.dtype);
  if (p.bias) spec.bias = p.added.type.dtype;
  spec.accumulate = p.added.data != nullptr && !p.bias;
  // Rows of b that the product reads side by side are packed once for many rows of a.
  spec.pack_b = p.batch_y.empty() && p.m >= 48;
  ASSIGN_OR_RETURN(std::unique_ptr<OnednnProduct> product, OnednnProduct::Create(spec));
  scratch.Request(product->scratch_bytes(), omp_get_max_threads());
  return BoundKernel(
      [p, accumulate = spec.accumulate, pool = &scratch, product = std::shared_ptr<OnednnProduct>(std::move(product))] {
        if (accumulate && p.added.data != p.y.data) std::memcpy(p.y.data, p.added.data, p.y.bytes());
        product->Execute(p.a.data, p.b.data, p.added.data, p.y.data, pool->data());
      });
}

StatusOr<BoundKernel> Bind(const Product& p, ScratchPool& scratch) {
  for (const TensorView* view : {&p.a, &p.b, &p.y, &p.added}) {
    if (!ConvertsToFloat(view->type.dtype)) {
      return absl::UnimplementedError(
          Cat("the CPU's matrix products take f32, bf16 and f16, not ", TypeText(view->type)));
    }
  }
  if (p.y.count() == 0) return BoundKernel([] {});
  const bool has_f16 = p.added.type.dtype == DType::kF16 || p.y.type.dtype == DType::kF16;
  if (p.a.type.dtype == DType::kBF16 && !has_f16 && p.k > 0 &&
      !(Batches(p) == 1 && p.m <= kGemvRows && !p.transpose_a)) {
    StatusOr<BoundKernel> kernel = BindBf16(p, scratch);
    if (kernel.ok() || !absl::IsUnimplemented(kernel.status())) return kernel;
  }
  return BindF32(p, scratch);
}

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
  if (args.has(2)) p.added = args.input(2);
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
  return Bind(p, args.scratch);
}

StatusOr<BoundKernel> BindCpuLinear(const KernelArgs& args) {
  Product p;
  p.a = args.input(0);
  p.b = args.input(1);
  p.y = args.result();
  if (args.has(2)) {
    p.added = args.input(2);
    p.bias = true;
  }
  p.k = p.b.dim(0);
  p.n = p.b.dim(1);
  p.m = 1;
  for (int axis = 0; axis + 1 < p.y.rank(); ++axis) p.m *= p.y.dim(axis);
  return Bind(p, args.scratch);
}

}  // namespace gptc
