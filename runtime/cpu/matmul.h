// How a matrix product is computed on the CPU: the choice among oneDNN's routes and our own vector kernel.
//
// Measured with oneDNN 2.6.3 and AVX-512 against its products on weights packed beforehand (the ceiling) at GPT-2's
// shapes:
//   sgemm     packs as it goes: 90-105 % for every transposition; no bias, and slow for stacks of small matrices
//   packed    b reordered at every execution, then the product at the ceiling: 92-95 % from some hundred rows on
//   plain     row-major operands as they are: 90-100 % while b fits L2 and for stacks, but 35-80 % for large b [k, n],
//             worst where its rows are a multiple of a page apart (n = 1024, 3072)
#ifndef GPTC_RUNTIME_CPU_MATMUL_H_
#define GPTC_RUNTIME_CPU_MATMUL_H_

#include <cstdint>

namespace gptc {

enum class ProductRoute { kGemv, kSgemm, kPacked, kPlain };

struct ProductShape {
  int64_t batches = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, bias = false;
};

// The route for f32 operands; depends on nothing but the shape, so that a plan computes the same everywhere.
ProductRoute ChooseProductRoute(const ProductShape& shape);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_MATMUL_H_
