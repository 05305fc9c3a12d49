#include "runtime/cpu/product.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "ir/base/packing.h"
#include "ir/base/target.h"
#include "runtime/cpu/convert.h"
#include "runtime/cpu/gemv.h"
#include "runtime/cpu/onednn.h"
#include "runtime/cpu/pack.h"

namespace gptc {

ProductRoute ChooseProductRoute(const ProductShape& shape) {
  constexpr int64_t kL2Elements = 256 * 1024;  // 1 MiB of f32
  constexpr int64_t kRowsThatPayForPacking = 48, kRowsThatPayForTransposing = 256, kFewRows = 256;
  if (shape.batches > 1) return ProductRoute::kPlain;
  if (shape.m <= kGemvRows && !shape.transpose_a) return ProductRoute::kGemv;
  const bool large = shape.k > kL2Elements / std::max<int64_t>(1, shape.n);
  if (large && shape.m <= kFewRows && !shape.transpose_a && !shape.transpose_b) return ProductRoute::kColumns;
  const bool small = shape.n == 0 || shape.k <= kMostPackedAtOnce / shape.n;
  if (shape.transpose_b && !shape.transpose_a && small && shape.m >= kRowsThatPayForTransposing) {
    return ProductRoute::kPacked;
  }
  if (!shape.bias || shape.m < kRowsThatPayForPacking) return ProductRoute::kSgemm;
  return large ? ProductRoute::kPacked : ProductRoute::kPlain;
}

namespace {

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

// y before the product is added to it: c, the bias in every row, both, or 0.
void Initialize(const Product& p, float* y, bool with_bias, bool zero) {
  const int64_t rows = Batches(p) * p.m;
  const bool bias = with_bias && p.bias.data != nullptr;
  if (p.c.data != nullptr) {
    if (p.c.data != y) ConvertToFloat(p.c.type.dtype, p.c.data, y, rows * p.n);
    if (bias) AddToRows(p.bias.type.dtype, p.bias.data, y, rows, p.n);
  } else if (bias) {
    FillRows(p.bias.type.dtype, p.bias.data, y, rows, p.n);
  } else if (zero) {
    std::memset(y, 0, sizeof(float) * rows * p.n);
  }
}

// In f32, through conversions of what is not. `gemv` takes bf16 and packed matrices as they are.
StatusOr<BoundKernel> BindF32(const Product& p, ScratchPool& scratch, size_t reserved) {
  struct State {
    Product p;
    ScratchPool* scratch;
    ProductRoute route;
    bool convert_a, convert_b, convert_y, convert_bias, initialize, zero, bias_in_product, c_in_product, pack_b;
    size_t at_a = 0, at_b = 0, at_y = 0, at_bias = 0, at_product = 0;
    std::unique_ptr<OnednnProduct> product;
  };
  auto state = std::make_shared<State>();
  State& s = *state;
  s.p = p;
  s.scratch = &scratch;
  s.route = ChooseProductRoute({Batches(p), p.m, p.n, p.k, p.transpose_a, p.transpose_b, p.bias.data != nullptr});
  if (p.k == 0) s.route = ProductRoute::kGemv;
  const bool gemv = s.route == ProductRoute::kGemv;
  const bool as_packed = p.packed_b && !gemv && p.b.type.dtype == DType::kF32 && MultipliesPacked(DType::kF32);
  if (as_packed) s.route = ProductRoute::kPlain;
  // By our own packing where it serves, as oneDNN's is slow for a transposed b.
  s.pack_b =
      s.route == ProductRoute::kPacked && !p.packed_b && p.b.type.dtype == DType::kF32 && MultipliesPacked(DType::kF32);
  const bool onednn = s.route == ProductRoute::kPacked || s.route == ProductRoute::kPlain;
  s.convert_a = p.a.type.dtype != DType::kF32;
  s.convert_b =
      p.packed_b ? !gemv && !as_packed : p.b.type.dtype != DType::kF32 && !(gemv && p.b.type.dtype == DType::kBF16);
  s.convert_y = p.y.type.dtype != DType::kF32;
  // oneDNN adds a bias of its own accord.
  s.bias_in_product = onednn && p.bias.data != nullptr;
  s.convert_bias = s.bias_in_product && p.bias.type.dtype != DType::kF32;
  // oneDNN adds c where it is read, which with AVX-512 rounds as adding to a y that holds c does. Its AVX2 products
  // round otherwise, so that the bits would depend on where c lies: there c is copied to y first.
  static const bool rounds_alike = NativeTarget().starts_with("cpu:avx512");
  s.c_in_product =
      rounds_alike && onednn && p.c.data != nullptr && p.c.data != p.y.data && p.c.type.dtype == DType::kF32;
  s.initialize = (p.c.data != nullptr && !s.c_in_product) || (p.bias.data != nullptr && !s.bias_in_product) || gemv;
  s.zero = gemv;

  ScratchLayout layout;
  layout.Add(reserved);
  if (s.convert_a) s.at_a = layout.Add(sizeof(float) * p.a.count());
  if (s.convert_b) s.at_b = layout.Add(sizeof(float) * (p.packed_b ? p.k * p.n : p.b.count()));
  if (gemv && !p.packed_b) s.at_product = layout.Add(GemvScratchBytes(p.transpose_b, p.m, p.n, p.k));
  if (s.pack_b) s.at_b = layout.Add(static_cast<size_t>(ByteCount(PackedType(DType::kF32, p.k, p.n))));
  if (s.convert_y) s.at_y = layout.Add(sizeof(float) * p.y.count());
  if (s.convert_bias) s.at_bias = layout.Add(sizeof(float) * p.n);
  if (onednn) {
    OnednnProductSpec spec = SpecOf(p, DType::kF32, DType::kF32);
    spec.packed_b = as_packed || s.pack_b;
    spec.pack_b = s.route == ProductRoute::kPacked && !s.pack_b;
    if (s.bias_in_product) spec.bias = DType::kF32;
    if (s.c_in_product) spec.addend = DType::kF32;
    spec.accumulate = s.initialize;
    ASSIGN_OR_RETURN(s.product, OnednnProduct::Create(spec));
    s.at_product = layout.Add(s.product->scratch_bytes());
  }
  scratch.Request(layout.bytes(), omp_get_max_threads());

  return BoundKernel([state] {
    State& r = *state;
    const Product& q = r.p;
    char* base = static_cast<char*>(r.scratch->data());
    const void *a = q.a.data, *b = q.b.data, *bias = q.bias.data;
    const auto converted = [&](const TensorView& view, size_t at, int64_t count) {
      float* to = reinterpret_cast<float*>(base + at);
      ConvertToFloat(view.type.dtype, view.data, to, count);
      return to;
    };
    if (r.convert_a) a = converted(q.a, r.at_a, q.a.count());
    if (r.convert_b && q.packed_b) {
      float* unpacked = reinterpret_cast<float*>(base + r.at_b);
      UnpackMatrix(q.b.type.dtype, b, q.k, q.n, unpacked);
      b = unpacked;
    } else if (r.convert_b) {
      b = converted(q.b, r.at_b, q.b.count());
    }
    if (r.pack_b) {
      PackMatrix(static_cast<const float*>(b), q.k, q.n, q.transpose_b, DType::kF32, base + r.at_b);
      b = base + r.at_b;
    }
    if (r.convert_bias) bias = converted(q.bias, r.at_bias, q.n);
    float* y = r.convert_y ? reinterpret_cast<float*>(base + r.at_y) : q.y.as<float>();
    if (r.initialize) Initialize(q, y, !r.bias_in_product, r.zero);
    switch (r.route) {
      case ProductRoute::kGemv:
        if (q.k == 0) break;
        if (q.packed_b) {
          GemvPacked(static_cast<const float*>(a), q.b.type.dtype, b, y, q.m, q.n, q.k);
        } else {
          Gemv(static_cast<const float*>(a), r.convert_b ? DType::kF32 : q.b.type.dtype, b, q.transpose_b, y, q.m, q.n,
               q.k, base + r.at_product);
        }
        break;
      case ProductRoute::kSgemm:
        Sgemm(q.transpose_a, q.transpose_b, q.m, q.n, q.k, static_cast<const float*>(a), static_cast<const float*>(b),
              r.initialize, y);
        break;
      case ProductRoute::kColumns:
        SgemmByColumns(q.m, q.n, q.k, static_cast<const float*>(a), static_cast<const float*>(b), r.initialize, y);
        break;
      case ProductRoute::kPacked:
      case ProductRoute::kPlain:
        r.product->Execute({a, b, bias, q.c.data}, y, base + r.at_product);
        break;
    }
    if (r.convert_y) ConvertFromFloat(q.y.type.dtype, y, q.y.data, q.y.count());
  });
}

// bf16 operands through oneDNN's bf16 products, which accumulate in f32. Unimplemented where the machine has none.
StatusOr<BoundKernel> BindBf16(const Product& p, ScratchPool& scratch, size_t reserved) {
  OnednnProductSpec spec = SpecOf(p, DType::kBF16, p.y.type.dtype);
  if (p.bias.data != nullptr) spec.bias = p.bias.type.dtype;
  // c is added as it is read, or, where y is c already, as y is written.
  if (p.c.data == p.y.data) {
    spec.accumulate = true;
  } else if (p.c.data != nullptr) {
    spec.addend = p.c.type.dtype;
  }
  // Rows of b that the product reads side by side are packed once for many rows of a: by our own packing where it
  // serves, as oneDNN's costs a fifth of a product with a thousand rows.
  const bool pack = !p.packed_b && p.batch_y.empty() && p.m >= 48;
  const bool own = pack && !p.transpose_b && MultipliesPacked(DType::kBF16);
  spec.packed_b = p.packed_b || own;
  spec.pack_b = pack && !own;
  ASSIGN_OR_RETURN(std::unique_ptr<OnednnProduct> product, OnednnProduct::Create(spec));
  ScratchLayout layout;
  layout.Add(reserved);
  const size_t at = layout.Add(product->scratch_bytes());
  const size_t at_b = own ? layout.Add(static_cast<size_t>(ByteCount(PackedType(DType::kBF16, p.k, p.n)))) : 0;
  scratch.Request(layout.bytes(), omp_get_max_threads());
  return BoundKernel([p, own, at, at_b, pool = &scratch, product = std::shared_ptr<OnednnProduct>(std::move(product))] {
    char* base = static_cast<char*>(pool->data());
    const void* b = p.b.data;
    if (own) {
      PackBf16Matrix(b, p.k, p.n, base + at_b);
      b = base + at_b;
    }
    product->Execute({p.a.data, b, p.bias.data, p.c.data}, p.y.data, base + at);
  });
}

}  // namespace

StatusOr<BoundKernel> BindProduct(const Product& p, ScratchPool& scratch, size_t reserved) {
  bool has_f16 = false;
  for (const TensorView* view : {&p.a, &p.b, &p.y, &p.c, &p.bias}) {
    if (!ConvertsToFloat(view->type.dtype)) {
      return absl::UnimplementedError(
          Cat("the CPU's matrix products take f32, bf16 and f16, not ", TypeText(view->type)));
    }
    has_f16 |= view->type.dtype == DType::kF16;
  }
  if (p.y.count() == 0) return BoundKernel([] {});
  const bool few_rows = Batches(p) == 1 && p.m <= kGemvRows && !p.transpose_a;
  if (p.a.type.dtype == DType::kBF16 && !has_f16 && p.k > 0 && !few_rows &&
      (!p.packed_b || MultipliesPacked(DType::kBF16))) {
    StatusOr<BoundKernel> kernel = BindBf16(p, scratch, reserved);
    if (kernel.ok() || !absl::IsUnimplemented(kernel.status())) return kernel;
  }
  return BindF32(p, scratch, reserved);
}

Product ProductWithWeights(const KernelArgs& args, bool transposed) {
  Product p;
  p.a = args.input(0);
  p.b = args.input(1);
  p.y = args.result();
  p.k = p.a.dim(-1);
  p.n = p.y.dim(-1);
  p.m = 1;
  for (int axis = 0; axis + 1 < p.y.rank(); ++axis) p.m *= p.y.dim(axis);
  p.packed_b = args.attributes.Int("columns") != 0;
  p.transpose_b = transposed && !p.packed_b;
  return p;
}

bool MultipliesPacked(DType dtype) {
  const auto tried = [](DType type) {
    OnednnProductSpec spec;
    spec.a = spec.b = spec.y = {type, {64, 64}, {64, 1}};
    spec.packed_b = true;
    return OnednnProduct::Create(spec).ok();
  };
  static const bool f32 = tried(DType::kF32), bf16 = tried(DType::kBF16);
  return dtype == DType::kBF16 ? bf16 : f32;
}

}  // namespace gptc
