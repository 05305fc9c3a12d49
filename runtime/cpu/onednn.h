// oneDNN's matrix products behind Status: https://oneapi-src.github.io/oneDNN/v2.6/dev_guide_matmul.html
//
// A product is created once, when a kernel is bound, and executed many times; execution passes addresses only. oneDNN's
// own scratchpad lies in the caller's scratch. One CPU engine and one stream serve the process; as OpenMP's, a
// product's threads are driven from one thread at a time.
#ifndef GPTC_RUNTIME_CPU_ONEDNN_H_
#define GPTC_RUNTIME_CPU_ONEDNN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ir/base/dtype.h"
#include "ir/base/status.h"

namespace gptc {

// A matrix, or a stack of them, at fixed strides (in elements). A leading axis of size 1 is broadcast.
struct StridedOperand {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape, strides;
};

struct OnednnProductSpec {
  StridedOperand a, b, y;       // [..., m, k], [..., k, n], [..., m, n]; f32 or bf16
  std::optional<DType> bias;    // [n]
  std::optional<DType> addend;  // y = a · b + addend, of y's shape and dense
  bool accumulate = false;      // y += a · b
  bool pack_b = false;          // reorder b, at every execution, into the layout that suits the product; two axes only
  bool packed_b = false;        // b lies packed (ir/base/packing.h); its strides mean nothing; two axes only
};

class OnednnProduct {
 public:
  // Unimplemented where this oneDNN on this machine has no such product (bf16 without AVX-512).
  static StatusOr<std::unique_ptr<OnednnProduct>> Create(const OnednnProductSpec& spec);
  ~OnednnProduct();
  OnednnProduct(const OnednnProduct&) = delete;
  OnednnProduct& operator=(const OnednnProduct&) = delete;

  size_t scratch_bytes() const;
  // `bias` and `addend` are read where the spec has them. `scratch`: scratch_bytes(), 64-byte aligned.
  struct Operands {
    const void *a, *b, *bias = nullptr, *addend = nullptr;
  };
  void Execute(const Operands& operands, void* y, void* scratch);

 private:
  struct Impl;
  explicit OnednnProduct(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// y = op(a) · op(b), or y += with `accumulate`: f32, row-major, op(a) [m, k], op(b) [k, n]. Unlike OnednnProduct it
// packs what it needs as it goes, whatever is transposed, at close to the speed of packed weights; it allocates the
// space for that itself.
void Sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
           bool accumulate, float* y);

// The same of few rows by a large b, nothing transposed, in blocks of columns, each by one thread: none of them splits
// the sums over k, as sgemm does for itself where many threads have few rows, so the bits do not depend on the number
// of threads.
void SgemmByColumns(int64_t m, int64_t n, int64_t k, const float* a, const float* b, bool accumulate, float* y);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_ONEDNN_H_
