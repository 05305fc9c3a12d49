// Whole tensors between an element type in memory and f32, for kernels that compute in f32 what is stored otherwise.
#ifndef GPTC_RUNTIME_CPU_CONVERT_H_
#define GPTC_RUNTIME_CPU_CONVERT_H_

#include <cstddef>
#include <cstdint>

#include "ir/base/dtype.h"

namespace gptc {

// f32, bf16 and f16: the types that the functions below read and write.
inline bool ConvertsToFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

// y[i] = x[i]. REQUIRES: ConvertsToFloat(dtype); the two do not overlap.
void ConvertToFloat(DType dtype, const void* x, float* y, int64_t count);
// The other way, rounded to nearest even.
void ConvertFromFloat(DType dtype, const float* x, void* y, int64_t count);
// Every one of `rows` rows of y becomes x [columns].
void FillRows(DType dtype, const void* x, float* y, int64_t rows, int64_t columns);
// x [columns] is added to every one of `rows` rows of y.
void AddToRows(DType dtype, const void* x, float* y, int64_t rows, int64_t columns);

// Places in an executor's scratch, each on a cache line of its own.
class ScratchLayout {
 public:
  // The offset of a new place of `bytes`.
  size_t Add(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ += (bytes + 63) / 64 * 64;
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_CONVERT_H_
