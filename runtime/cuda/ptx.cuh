// Every machine instruction that the kernels use by name, one function each. The emulator of tests/simt has bodies of
// its own for them (tests/simt/ptx.h); the tables of which lane holds what are those of the PTX ISA, section
// "Warp-level matrix instructions".
#ifndef GPTC_RUNTIME_CUDA_PTX_CUH_
#define GPTC_RUNTIME_CUDA_PTX_CUH_

#include "runtime/cuda/launch.cuh"

#ifdef GPTC_SIMT
#include "tests/simt/ptx.h"
#else

namespace gptc::cuda::ptx {

// The two as bf16, rounded to nearest even: `low` in the low half.
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
__device__ __forceinline__ float FloatFromHalf(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ __forceinline__ uint16_t HalfFromFloat(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
// 2^x, relative error 2^-22; subnormal results are 0.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// d = a·b + c for a tile [16, 16] of a by [16, 8] of b, bf16 with f32 sums, by one warp. Lane l, g = l / 4, t = l % 4:
//   a[0] rows g,     columns 2t, 2t+1     a[2] rows g,     columns 2t+8, 2t+9
//   a[1] rows g + 8, columns 2t, 2t+1     a[3] rows g + 8, columns 2t+8, 2t+9
//   b[0] rows 2t, 2t+1, column g          b[1] rows 2t+8, 2t+9, column g
//   c, d [0], [1]: row g, columns 2t, 2t+1;  [2], [3]: row g + 8
__device__ __forceinline__ void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                        const float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

// Four 8 by 8 matrices of 16-bit elements from shared memory. Lane l gives the address of row l % 8 of matrix l / 8
// (16 bytes, aligned); r[m] of lane l are elements 2(l % 4), 2(l % 4) + 1 of row l / 4 of matrix m, with kTransposed of
// its transpose.
template <bool kTransposed = false>
__device__ __forceinline__ void LoadMatrix4(uint32_t (&r)[4], const void* row) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
}

// Starts copying 16 bytes from device to shared memory, or zeros where not `valid`. What the thread started before a
// commit is a group; after CopyWait<n>() all but its last n groups have arrived (for itself: others need a barrier).
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, bool valid = true) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void CopyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void CopyWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- products by a warpgroup, four warps from a multiple of 128 threads on: sm_90a alone ----
//
// They run beside the threads. Before the first of a row of them, and after any change of registers that they read or
// add to, comes WarpgroupFence(); what was started before a commit is a group, and after WarpgroupWait<n>() all but the
// last n groups are done, in order. Until then their registers belong to them.

// Rows of 64 bf16 in shared memory as an operand: the 16-byte chunks of a row stand at chunk ^ row % 8, and row 0 lies
// at a multiple of 1,024 bytes. After its rows were written, by cp.async too, FenceShared() comes before the barrier.
struct SharedOperand {
  // A matrix descriptor (PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"): 128-byte swizzle, 1,024 bytes
  // from eight rows to the next eight.
  uint64_t bits;

  explicit __device__ __forceinline__ SharedOperand(const void* row0) {
    const uint64_t address = __cvta_generic_to_shared(row0);
    bits = uint64_t{1} << 62 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 16 | (address & 0x3ffff) >> 4;
  }
  // From row `row`, a multiple of 8, and column `column`, a multiple of 16, on.
  __device__ __forceinline__ SharedOperand From(int row, int column) const {
    SharedOperand part = *this;
    part.bits += static_cast<uint32_t>(row * 128 + column * 2) >> 4;
    return part;
  }
};

__device__ __forceinline__ void FenceShared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void WarpgroupFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void WarpgroupCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void WarpgroupWait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

#define GPTC_SUMS8(d, n)                                                                                               \
  "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3]), "+f"(d[n + 1][0]), "+f"(d[n + 1][1]), "+f"(d[n + 1][2]), \
      "+f"(d[n + 1][3])

// Starts d = a·b, or += where `accumulate`, for a [64, 16] and b [16, 64], bf16 with f32 sums. Warp w of the group has
// rows 16·w .. of a and d, in the places of MmaBf16; b's rows are 16 rows of the operand.
__device__ __forceinline__ void WarpgroupMultiply(float (&d)[8][4], const uint32_t (&a)[4], SharedOperand b,
                                                  bool accumulate) {
  asm volatile(
      "{.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}"
      : GPTC_SUMS8(d, 0), GPTC_SUMS8(d, 2), GPTC_SUMS8(d, 4), GPTC_SUMS8(d, 6)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(static_cast<int>(accumulate)));
}
// The same with a in shared memory, 64 rows of which 16 elements are taken, and b's columns 64 rows, of which 16
// elements are taken.
__device__ __forceinline__ void WarpgroupMultiply(float (&d)[8][4], SharedOperand a, SharedOperand b, bool accumulate) {
  asm volatile(
      "{.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, p, 1, 1, 0, 0;\n}"
      : GPTC_SUMS8(d, 0), GPTC_SUMS8(d, 2), GPTC_SUMS8(d, 4), GPTC_SUMS8(d, 6)
      : "l"(a.bits), "l"(b.bits), "r"(static_cast<int>(accumulate)));
}
#undef GPTC_SUMS8

}  // namespace gptc::cuda::ptx

#endif  // GPTC_SIMT

#endif  // GPTC_RUNTIME_CUDA_PTX_CUH_
