#include "runtime/cpu/convert.h"

#include <cstring>

#include "runtime/cpu/parallel.h"
#include "runtime/cpu/simd.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/convert.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

void Widen(const Bf16* x, float* y, size_t count) {
  MapRow(x, y, count, [](VF v) HWY_ATTR { return v; });
}
void Narrow(const float* x, Bf16* y, size_t count) {
  MapRow(x, y, count, [](VF v) HWY_ATTR { return v; });
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(Widen);
HWY_EXPORT(Narrow);

void WidenChunk(DType dtype, const void* x, int64_t begin, int64_t end, float* y) {
  if (dtype == DType::kF32) {
    std::memcpy(y, static_cast<const float*>(x) + begin, sizeof(float) * (end - begin));
  } else if (dtype == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(Widen)(static_cast<const Bf16*>(x) + begin, y, end - begin);
  } else {
    for (int64_t i = begin; i < end; ++i) y[i - begin] = FloatFromF16(static_cast<const uint16_t*>(x)[i]);
  }
}

}  // namespace

void ConvertToFloat(DType dtype, const void* x, float* y, int64_t count) {
  ParallelFor(count, kChunkWork, [&](int64_t begin, int64_t end) { WidenChunk(dtype, x, begin, end, y + begin); });
}

void ConvertFromFloat(DType dtype, const float* x, void* y, int64_t count) {
  ParallelFor(count, kChunkWork, [&](int64_t begin, int64_t end) {
    if (dtype == DType::kF32) {
      std::memcpy(static_cast<float*>(y) + begin, x + begin, sizeof(float) * (end - begin));
    } else if (dtype == DType::kBF16) {
      HWY_DYNAMIC_DISPATCH(Narrow)(x + begin, static_cast<Bf16*>(y) + begin, end - begin);
    } else {
      for (int64_t i = begin; i < end; ++i) static_cast<uint16_t*>(y)[i] = F16FromFloat(x[i]);
    }
  });
}

void FillRows(DType dtype, const void* x, float* y, int64_t rows, int64_t columns) {
  ParallelFor(rows, GrainFor(columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) WidenChunk(dtype, x, 0, columns, y + row * columns);
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
