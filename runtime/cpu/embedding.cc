// Rows of a table by id, and the transpose: rows added into a table at their ids. Ids outside the table give zeros and
// take nothing.
#include <algorithm>
#include <cstring>

#include "runtime/cpu/kernels.h"
#include "runtime/cpu/parallel.h"
#include "runtime/cpu/simd.h"
#include "runtime/cpu/unsupported.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/embedding.cc"
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {

void AddRowF32(const void* x, int64_t at, float* y, int64_t n) {
  MapRow2(static_cast<const float*>(x) + at, true, y, true, y, n, [](VF u, VF v) HWY_ATTR { return hn::Add(u, v); });
}

void AddRowBf16(const void* x, int64_t at, float* y, int64_t n) {
  const Bf16* row = static_cast<const Bf16*>(x) + at;
  const int64_t lanes = hn::Lanes(DF());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreFloats(hn::Add(LoadFloats(row + i), LoadFloats(y + i)), y + i);
  if (i < n) StoreSome(hn::Add(LoadSome(row + i, n - i), LoadSome(y + i, n - i)), y + i, n - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {
HWY_EXPORT(AddRowF32);
HWY_EXPORT(AddRowBf16);
}  // namespace

StatusOr<BoundKernel> BindCpuEmbedding(const KernelArgs& args) {
  const TensorView &table = args.input(0), &ids = args.input(1), &y = args.result();
  const int64_t row_bytes = SizeOf(table.type.dtype) * table.dim(1);
  return BoundKernel([=] {
    ParallelFor(ids.count(), GrainFor(row_bytes / 4), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t id = ids.as<int32_t>()[i];
        char* out = y.as<char>() + i * row_bytes;
        if (id < 0 || id >= table.dim(0)) {
          std::memset(out, 0, row_bytes);
        } else {
          std::memcpy(out, table.as<char>() + id * row_bytes, row_bytes);
        }
      }
    });
  });
}

StatusOr<BoundKernel> BindCpuEmbeddingBackward(const KernelArgs& args) {
  const TensorView &ids = args.input(0), &dy = args.input(1), &dtable = args.result();
  const DType dtype = dy.type.dtype;
  if (dtype != DType::kF32 && dtype != DType::kBF16) return Unsupported("embedding_backward", args, "f32 and bf16");
  const void* base = args.has(2) ? args.input(2).data : nullptr;
  const auto add = dtype == DType::kF32 ? HWY_DYNAMIC_DISPATCH(AddRowF32) : HWY_DYNAMIC_DISPATCH(AddRowBf16);
  const int64_t rows = dtable.dim(0), width = dtable.dim(1), count = ids.count();
  // A thread owns a range of columns and adds in the order of the ids, so a sum's order does not depend on the threads.
  const int64_t grain = width >= 512 ? 128 : 64;
  return BoundKernel([=] {
    if (base == nullptr) {
      ParallelFor(rows * width, 16 * kChunkWork, [&](int64_t begin, int64_t end) {
        std::fill(dtable.as<float>() + begin, dtable.as<float>() + end, 0.0f);
      });
    } else if (base != dtable.data) {
      ParallelFor(rows * width, 16 * kChunkWork, [&](int64_t begin, int64_t end) {
        std::memcpy(dtable.as<float>() + begin, static_cast<const float*>(base) + begin, sizeof(float) * (end - begin));
      });
    }
    ParallelFor(width, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t id = ids.as<int32_t>()[i];
        if (id >= 0 && id < rows) add(dy.data, i * width + begin, dtable.as<float>() + id * width + begin, end - begin);
      }
    });
  });
}

}  // namespace gptc
#endif  // HWY_ONCE
