// Bodies of the functions of runtime/cuda/ptx.cuh for the emulator; their contracts stand there.
#ifndef GPTC_TESTS_SIMT_PTX_H_
#define GPTC_TESTS_SIMT_PTX_H_

#include <cuda_runtime.h>

#include "ir/base/dtype.h"

namespace gptc::simt {

// What a lane gives to and gets from an instruction of the warp.
struct MmaLane {
  float* d;
  const uint32_t *a, *b;
  const float* c;
};
void CompleteMmaBf16(void* const* lanes, unsigned mask);
struct LoadMatrixLane {
  uint32_t* r;
  const void* row;
};
void CompleteLoadMatrix4(void* const* lanes, unsigned mask);
void CompleteLoadMatrix4Transposed(void* const* lanes, unsigned mask);

// A product of a warpgroup, the part of one lane of one of its warps. Made by the wait; till then d is NaN.
struct WarpgroupProduct {
  float* d;
  bool a_in_registers, accumulate;
  uint32_t a[4];
  const unsigned char *a_rows, *b_rows;  // in shared memory, where row 0 and column 0 would stand without the swizzle
};
void FenceShared();
void FenceWarpgroup();
void StartWarpgroupProduct(const WarpgroupProduct& product);
void CommitWarpgroupProducts();
void WaitForWarpgroupProducts(int pending_groups, std::source_location where);
void CompleteWarpgroupProduct(void* const* lanes, unsigned mask);

}  // namespace gptc::simt

namespace gptc::cuda::ptx {

inline uint32_t PackBf16(float low, float high) {
  return static_cast<uint32_t>(Bf16FromFloat(low)) | static_cast<uint32_t>(Bf16FromFloat(high)) << 16;
}
inline float FloatFromHalf(uint16_t bits) { return FloatFromF16(bits); }
inline uint16_t HalfFromFloat(float value) { return F16FromFloat(value); }
inline float Exp2(float x) {
  const float y = exp2f(x);
  return y < 0x1p-126f ? 0 : y;
}

inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4],
                    std::source_location where = std::source_location::current()) {
  simt::MmaLane lane = {d, a, b, c};
  simt::MeetWarp("MmaBf16", 0xffffffffu, &lane, &simt::CompleteMmaBf16, where);
}

template <bool kTransposed = false>
void LoadMatrix4(uint32_t (&r)[4], const void* row, std::source_location where = std::source_location::current()) {
  simt::LoadMatrixLane lane = {r, row};
  simt::MeetWarp("LoadMatrix4", 0xffffffffu, &lane,
                 kTransposed ? &simt::CompleteLoadMatrix4Transposed : &simt::CompleteLoadMatrix4, where);
}

inline void CopyAsync16(void* shared, const void* global, bool valid = true) {
  simt::StartCopy16(shared, global, valid);
}
inline void CopyCommit() { simt::CommitCopies(); }
template <int kPending>
void CopyWait() {
  simt::WaitForCopies(kPending);
}

struct SharedOperand {
  const unsigned char* rows;
  explicit SharedOperand(const void* row0) : rows(static_cast<const unsigned char*>(row0)) {
    if (reinterpret_cast<uintptr_t>(row0) % 1024 != 0) {
      simt::Fail("an operand in shared memory that is not aligned to 1,024 bytes");
    }
  }
  SharedOperand From(int row, int column) const {
    SharedOperand part = *this;
    part.rows += row * 128 + column * 2;
    return part;
  }
};

inline void FenceShared() { simt::FenceShared(); }
inline void WarpgroupFence() { simt::FenceWarpgroup(); }
inline void WarpgroupCommit() { simt::CommitWarpgroupProducts(); }
template <int kPending>
void WarpgroupWait(std::source_location where = std::source_location::current()) {
  simt::WaitForWarpgroupProducts(kPending, where);
}
inline void WarpgroupMultiply(float (&d)[8][4], const uint32_t (&a)[4], SharedOperand b, bool accumulate) {
  simt::StartWarpgroupProduct({&d[0][0], true, accumulate, {a[0], a[1], a[2], a[3]}, nullptr, b.rows});
}
inline void WarpgroupMultiply(float (&d)[8][4], SharedOperand a, SharedOperand b, bool accumulate) {
  simt::StartWarpgroupProduct({&d[0][0], false, accumulate, {}, a.rows, b.rows});
}

}  // namespace gptc::cuda::ptx

#endif  // GPTC_TESTS_SIMT_PTX_H_
