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

void AddF32(const float* x, float* y, size_t count) {
  MapRow2(x, true, y, true, y, count, [](VF u, VF v) HWY_ATTR { return hn::Add(u, v); });
}
void AddBf16(const Bf16* x, float* y, size_t count) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) StoreFloats(hn::Add(LoadFloats(x + i), LoadFloats(y + i)), y + i);
  if (i < count) StoreSome(hn::Add(LoadSome(x + i, count - i), LoadSome(y + i, count - i)), y + i, count - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(Widen);
HWY_EXPORT(Narrow);
HWY_EXPORT(AddF32);
HWY_EXPORT(AddBf16);

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

void AddToRows(DType dtype, const void* x, float* y, int64_t rows, int64_t columns) {
  ParallelFor(rows, GrainFor(columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* to = y + row * columns;
      if (dtype == DType::kF32) {
        HWY_DYNAMIC_DISPATCH(AddF32)(static_cast<const float*>(x), to, columns);
      } else if (dtype == DType::kBF16) {
        HWY_DYNAMIC_DISPATCH(AddBf16)(static_cast<const Bf16*>(x), to, columns);
      } else {
        for (int64_t i = 0; i < columns; ++i) to[i] += FloatFromF16(static_cast<const uint16_t*>(x)[i]);
      }
    }
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
