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

}  // namespace gptc::cuda::ptx

#endif  // GPTC_TESTS_SIMT_PTX_H_
