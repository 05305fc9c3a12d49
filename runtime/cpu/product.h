// How a matrix product is computed on the CPU: the choice among oneDNN's routes and our own vector kernel.
//
// Measured with oneDNN 2.6.3 and AVX-512 against its products on weights packed beforehand (the ceiling) at GPT-2's
// shapes:
//   sgemm     packs as it goes: 90-105 % for every transposition; no bias, and slow for stacks of small matrices
//   columns   sgemm in blocks of columns: for 128 rows by a large b, where packing b costs a fifth of the product
//   packed    b packed at every execution, then the product at the ceiling: 92-96 % from some hundred rows on; for a
//             transposed b better than sgemm, which falls to 80 % there on Zen 4
//   plain     row-major operands as they are: 90-100 % while b fits L2 and for stacks, but 35-80 % for large b [k, n],
//             worst where its rows are a multiple of a page apart (n = 1024, 3072)
#ifndef GPTC_RUNTIME_CPU_PRODUCT_H_
#define GPTC_RUNTIME_CPU_PRODUCT_H_

#include <cstdint>
#include <vector>

#include "runtime/exec/kernel.h"

namespace gptc {

enum class ProductRoute { kGemv, kSgemm, kColumns, kPacked, kPlain };

struct ProductShape {
  int64_t batches = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false, bias = false;
};

// The route for f32 operands whose b is not packed; depends on nothing but the shape, so that a plan computes the same
// everywhere.
ProductRoute ChooseProductRoute(const ProductShape& shape);

// y = op(a)·op(b) [+ c] [+ bias], its leading axes worked out.
struct Product {
  TensorView a, b, y;
  TensorView c;     // as y; no address where there is none. May be y.
  TensorView bias;  // [n]; no address where there is none
  bool transpose_a = false, transpose_b = false;
  bool packed_b = false;  // b is packed (ir/base/packing.h)
  // Leading axes, as many in each, 1 where broadcast; empty for one product.
  std::vector<int64_t> batch_a, batch_b, batch_y;
  int64_t m = 0, n = 0, k = 0;
};

// f32, bf16 and f16, accumulated in f32. Unimplemented for other types. The first `reserved` bytes of the scratch stay
// the caller's.
StatusOr<BoundKernel> BindProduct(const Product& product, ScratchPool& scratch, size_t reserved = 0);

// The product of the ops of family linear: rows of x by w [in, out] ([out, in] with `transposed`), or by a packed one
// where the attribute `columns` is not 0.
Product ProductWithWeights(const KernelArgs& args, bool transposed = false);

// Whether this machine's oneDNN multiplies by packed matrices of the type as they are; elsewhere they are unpacked
// first.
bool MultipliesPacked(DType dtype);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_PRODUCT_H_
