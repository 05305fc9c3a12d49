// The emulator itself: what it runs comes out right, and what a GPU would let pass is caught.
#include "tests/simt/simt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/cuda/block.cuh"
#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/numeric.cuh"
#include "runtime/cuda/ptx.cuh"

namespace gptc::simt {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(Simt, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> seen(2 * 3 * 4 * 5 * 2 * 7, 0);
  const auto body = [&] {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    ++seen[block * 70 + thread];
  };
  EXPECT_EQ(RunGrid({2, 3, 4}, {5, 2, 7}, 0, body), "");
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<int>(seen.size()));
}

TEST(Simt, SumsOverABlock) {
  std::vector<float> sums(256), most(256);
  const auto body = [&] {
    sums[threadIdx.x] = cuda::BlockSum<256>(static_cast<float>(threadIdx.x));
    most[threadIdx.x] = cuda::BlockMax<256>(-std::abs(static_cast<float>(threadIdx.x) - 100));
  };
  for (uint32_t seed = 0; seed < 10; ++seed) {
    SetOrder(seed);
    EXPECT_EQ(RunGrid(1, 256, 0, body), "");
    EXPECT_EQ(std::count(sums.begin(), sums.end(), 255 * 128), 256);
    EXPECT_EQ(std::count(most.begin(), most.end(), 0), 256);
  }
}

// Each thread reads its neighbour's element.
template <bool kBarrier>
std::string Reverse(std::vector<float>& to) {
  return RunGrid(1, 128, 0, [&] {
    GPTC_SHARED(float, row, 128);
    row[threadIdx.x] = static_cast<float>(threadIdx.x);
    if (kBarrier) __syncthreads();
    to[threadIdx.x] = row[127 - threadIdx.x];
  });
}

TEST(Simt, AMissingBarrierReadsPoison) {
  std::vector<float> to(128);
  EXPECT_EQ(Reverse<true>(to), "");
  for (int i = 0; i < 128; ++i) EXPECT_EQ(to[i], 127 - i);
  EXPECT_EQ(Reverse<false>(to), "");
  EXPECT_TRUE(std::any_of(to.begin(), to.end(), [](float x) { return std::isnan(x); }));
}

TEST(Simt, AWriteOutsideOfASharedArrayIsAnError) {
  EXPECT_THAT(RunGrid(1, 32, 0,
                      [] {
                        GPTC_SHARED(float, row, 31);
                        row[threadIdx.x] = 0;
                      }),
              HasSubstr("wrote 0 bytes behind the end of a shared array of 124 bytes"));
  EXPECT_THAT(RunGrid(1, 32, 64,
                      [] {
                        GPTC_DYNAMIC_SHARED(bytes);
                        bytes[static_cast<int>(threadIdx.x) - 1] = 0;
                      }),
              HasSubstr("wrote 1 bytes before the begin of the dynamic shared memory of 64 bytes"));
}

TEST(Simt, SharedMemoryHasItsLimits) {
  EXPECT_THAT(RunGrid(1, 32, 0,
                      [] {
                        GPTC_SHARED(float, row, 12289);
                        row[0] = 0;
                      }),
              HasSubstr("declares 49156 bytes of shared arrays"));
  EXPECT_THAT(RunGrid(1, 32, 228 << 10, [] {}), HasSubstr("cannot be launched with 233472 bytes of shared memory"));
  EXPECT_EQ(RunGrid(1, 32, 227 << 10, [] {}), "");
}

TEST(Simt, ADivergentBarrierIsAnError) {
  EXPECT_THAT(
      RunGrid(1, 64, 0,
              [] {
                if (threadIdx.x < 40) __syncthreads();
              }),
      ContainsRegex("threads 40-63 have ended; threads 0-39 wait at __syncthreads \\(.*simt_test.cc:[0-9]+\\)"));
  const auto two_barriers = [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  };
  EXPECT_THAT(RunGrid(1, 64, 0, two_barriers), HasSubstr("threads wait at different barriers"));
}

TEST(Simt, ADivergentShuffleIsAnError) {
  EXPECT_THAT(
      RunGrid(1, 32, 0,
              [] {
                if (threadIdx.x != 3) (void)__shfl_xor_sync(0xffffffffu, 1.f, 1);
              }),
      ContainsRegex("threads 3 have ended; threads 0-2, 4-31 wait at __shfl_xor_sync .* for the lanes ffffffff"));
  EXPECT_THAT(RunGrid(1, 32, 0,
                      [] {
                        if (threadIdx.x < 16) (void)__shfl_sync(0x0000ffffu, 1.f, 16 + static_cast<int>(threadIdx.x));
                      }),
              HasSubstr("by a shuffle in which that does not take part"));
  EXPECT_THAT(RunGrid(1, 16, 0, [] { (void)cuda::WarpSum(1.f); }), HasSubstr("wait for others that do not come"));
}

TEST(Simt, ShufflesAndVotes) {
  std::vector<int> up(32), down(32), xored(32), from(32), half(32);
  std::vector<unsigned> votes(32);
  std::vector<double> wide(32);
  EXPECT_EQ(RunGrid(1, 32, 0,
                    [&] {
                      const int i = static_cast<int>(threadIdx.x);
                      up[i] = __shfl_up_sync(0xffffffffu, i, 3);
                      down[i] = __shfl_down_sync(0xffffffffu, i, 3, 8);
                      xored[i] = __shfl_xor_sync(0xffffffffu, i, 5);
                      from[i] = __shfl_sync(0xffffffffu, i, 2, 4);
                      wide[i] = __shfl_sync(0xffffffffu, 1.0 / (i + 1), 2);
                      votes[i] = __ballot_sync(0xffffffffu, i % 3 == 0);
                      half[i] = i < 16 ? __shfl_xor_sync(0x0000ffffu, i, 1) : __shfl_xor_sync(0xffff0000u, i, 2);
                    }),
            "");
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(up[i], i < 3 ? i : i - 3);
    EXPECT_EQ(down[i], i % 8 + 3 < 8 ? i + 3 : i);
    EXPECT_EQ(xored[i], i ^ 5);
    EXPECT_EQ(from[i], i / 4 * 4 + 2);
    EXPECT_EQ(wide[i], 1.0 / 3);
    EXPECT_EQ(votes[i], 0x49249249u);
    EXPECT_EQ(half[i], i < 16 ? i ^ 1 : i ^ 2);
  }
}

TEST(Simt, AWildWriteIsAnError) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer ends the program";
#endif
  volatile uintptr_t nowhere = 64;
  EXPECT_THAT(RunGrid(1, 32, 0,
                      [&] {
                        if (threadIdx.x == 7) *reinterpret_cast<volatile float*>(nowhere) = 1;
                      }),
              HasSubstr("thread (7, 0, 0): a memory fault"));
}

// y[16, 8] = a[16, 16] · b[16, 8] with the operands from shared memory; b lies there as [16, 8] or, not transposed by
// ldmatrix, as [8, 16].
template <bool kTransposed>
void CheckMma() {
  constexpr int kRow = 24;  // elements from row to row: 48 bytes
  std::vector<cuda::bf16> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[i] = cuda::FromFloat<cuda::bf16>(static_cast<float>(i * 37 % 19 - 9));
  for (int i = 0; i < 128; ++i) b[i] = cuda::FromFloat<cuda::bf16>(static_cast<float>(i * 29 % 17 - 8));
  std::vector<float> y(128);
  EXPECT_EQ(RunGrid(1, 32, 2 * 16 * kRow * 2,
                    [&] {
                      GPTC_DYNAMIC_SHARED(bytes);
                      auto* const as = reinterpret_cast<cuda::bf16*>(bytes);
                      cuda::bf16* const bs = as + 16 * kRow;
                      const int lane = static_cast<int>(threadIdx.x);
                      for (int i = lane; i < 256; i += 32) as[i / 16 * kRow + i % 16] = a[i];
                      for (int i = lane; i < 128; i += 32) {
                        (kTransposed ? bs[i / 8 * kRow + i % 8] : bs[i % 8 * kRow + i / 8]) = b[i];
                      }
                      if (lane < 16 && kTransposed) {  // the other two matrices, which are not used
                        for (int i = 8; i < 16; ++i) bs[lane * kRow + i] = b[0];
                      }
                      __syncthreads();
                      uint32_t ar[4], br[4];
                      cuda::ptx::LoadMatrix4(ar, as + lane % 16 * kRow + lane / 16 * 8);
                      cuda::ptx::LoadMatrix4<kTransposed>(
                          br, kTransposed ? bs + lane % 16 * kRow : bs + lane % 8 * kRow + lane / 8 % 2 * 8);
                      float c[4] = {1, 2, 3, 4}, d[4];
                      const uint32_t pair[2] = {br[0], br[1]};
                      cuda::ptx::MmaBf16(d, ar, pair, c);
                      for (int i = 0; i < 4; ++i) y[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i] - c[i];
                    }),
            "");
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += cuda::ToFloat(a[i * 16 + k]) * cuda::ToFloat(b[k * 8 + j]);
      EXPECT_EQ(y[i * 8 + j], sum) << i << ", " << j;
    }
  }
}

TEST(Simt, MmaAndLdmatrixGiveTheProduct) {
  CheckMma<false>();
  CheckMma<true>();
}

// Elements of two operands of a warpgroup's products, and where they stand in shared memory.
float Left(int row, int column) { return static_cast<float>((row * 7 + column * 3) % 11 - 5); }
float Right(int row, int column) { return static_cast<float>((row * 5 + column) % 13 - 6); }
void FillOperand(unsigned char* rows, float (*element)(int, int)) {
  for (int i = static_cast<int>(threadIdx.x); i < 64 * 64; i += 128) {
    const int row = i / 64, column = i % 64;
    const uint16_t bits = Bf16FromFloat(element(row, column));
    memcpy(rows + row * 128 + (((column / 8) ^ (row % 8)) << 4) + column % 8 * 2, &bits, sizeof bits);
  }
}

TEST(Simt, AWarpgroupMultipliesTilesInSharedMemory) {
  std::vector<float> transposed(64 * 64), plain(64 * 64);
  bool early = true;
  EXPECT_EQ(RunGrid(1, 128, 2 * 8192,
                    [&] {
                      GPTC_DYNAMIC_SHARED(bytes);
                      FillOperand(bytes, &Left);
                      FillOperand(bytes + 8192, &Right);
                      cuda::ptx::FenceShared();
                      __syncthreads();
                      const cuda::ptx::SharedOperand left(bytes), right(bytes + 8192);
                      float products[8][4], sums[8][4] = {};
                      cuda::ptx::WarpgroupFence();
                      for (int k = 0; k < 4; ++k) {
                        cuda::ptx::WarpgroupMultiply(products, left.From(0, 16 * k), right.From(0, 16 * k), k > 0);
                      }
                      cuda::ptx::WarpgroupCommit();
                      // The first operand in registers: rows 16·warp .. of the left one.
                      const int warp = static_cast<int>(threadIdx.x) / 32, lane = Lane();
                      for (int k = 0; k < 4; ++k) {
                        uint32_t a[4];
                        for (int i = 0; i < 4; ++i) {
                          const int row = 16 * warp + i % 2 * 8 + lane / 4, column = 16 * k + i / 2 * 8 + lane % 4 * 2;
                          a[i] = cuda::ptx::PackBf16(Left(row, column), Left(row, column + 1));
                        }
                        cuda::ptx::WarpgroupMultiply(sums, a, right.From(16 * k, 0), true);
                      }
                      cuda::ptx::WarpgroupCommit();
                      early &= std::isnan(products[0][0]) && std::isnan(sums[7][3]);
                      cuda::ptx::WarpgroupWait<1>();
                      early &= !std::isnan(products[0][0]) && std::isnan(sums[7][3]);
                      cuda::ptx::WarpgroupWait<0>();
                      for (int n = 0; n < 8; ++n) {
                        for (int e = 0; e < 4; ++e) {
                          const int at = (16 * warp + e / 2 * 8 + lane / 4) * 64 + 8 * n + lane % 4 * 2 + e % 2;
                          transposed[at] = products[n][e];
                          plain[at] = sums[n][e];
                        }
                      }
                    }),
            "");
  EXPECT_TRUE(early) << "sums are the product's until it is waited for";
  for (int i = 0; i < 64; ++i) {
    for (int j = 0; j < 64; ++j) {
      float across = 0, along = 0;
      for (int k = 0; k < 64; ++k) {
        across += Left(i, k) * Right(j, k);
        along += Left(i, k) * Right(k, j);
      }
      ASSERT_EQ(transposed[i * 64 + j], across) << i << ", " << j;
      ASSERT_EQ(plain[i * 64 + j], along) << i << ", " << j;
    }
  }
}

TEST(Simt, AWarpgroupsProductWithoutItsFencesIsAnError) {
  const auto run = [](bool shared, bool registers, int begin) {
    alignas(16) static const float zeros[4] = {};
    return RunGrid(1, 128, 3 * 8192, [=] {
      GPTC_DYNAMIC_SHARED(bytes);
      for (int i = static_cast<int>(threadIdx.x); i < 512; i += 128) {
        cuda::ptx::CopyAsync16(bytes + begin + 16 * i, zeros);
      }
      cuda::ptx::CopyCommit();
      cuda::ptx::CopyWait<0>();
      if (shared) cuda::ptx::FenceShared();
      __syncthreads();
      float sums[8][4];
      if (registers) cuda::ptx::WarpgroupFence();
      const cuda::ptx::SharedOperand rows(bytes + begin);
      cuda::ptx::WarpgroupMultiply(sums, rows, rows, false);
      cuda::ptx::WarpgroupCommit();
      cuda::ptx::WarpgroupWait<0>();
    });
  };
  EXPECT_EQ(run(true, true, 1024), "");
  EXPECT_THAT(run(false, true, 1024), HasSubstr("without a fence since the last copies arrived"));
  EXPECT_THAT(run(true, false, 1024), HasSubstr("without WarpgroupFence()"));
  EXPECT_THAT(run(true, true, 512), HasSubstr("not aligned to 1,024 bytes"));
}

TEST(Simt, AnAsynchronousCopyArrivesAtItsWait) {
  alignas(16) float from[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  float early = 0, first = 0, second = 0, after = 0, zero = 1;
  EXPECT_EQ(RunGrid(1, 1, 48,
                    [&] {
                      GPTC_DYNAMIC_SHARED(bytes);
                      auto* const to = reinterpret_cast<float*>(bytes);
                      cuda::ptx::CopyAsync16(to, from);
                      cuda::ptx::CopyCommit();
                      cuda::ptx::CopyAsync16(to + 4, from + 4);
                      cuda::ptx::CopyAsync16(to + 8, from, false);
                      cuda::ptx::CopyCommit();
                      early = to[1];
                      cuda::ptx::CopyWait<1>();
                      first = to[1];
                      second = to[5];
                      cuda::ptx::CopyWait<0>();
                      after = to[5];
                      zero = to[9];
                    }),
            "");
  EXPECT_TRUE(std::isnan(early));
  EXPECT_EQ(first, 1);
  EXPECT_TRUE(std::isnan(second));
  EXPECT_EQ(after, 5);
  EXPECT_EQ(zero, 0);
}

__global__ void Increment(int* x, int by) { atomicAdd(x, by); }
__global__ void Diverge() {
  if (threadIdx.x == 0) __syncthreads();
}

TEST(Simt, WorkRunsWhenTheHostWaits) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  int x = 0;
  cuda::Launch(stream, &Increment, 2, 32, 0, &x, 1);
  EXPECT_EQ(x, 0);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(x, 64);
  cuda::Launch(stream, &Diverge, 2, 32, 0);
  const cudaError_t error = cudaStreamSynchronize(stream);
  EXPECT_EQ(error, cudaErrorLaunchFailure);
  EXPECT_THAT(cudaGetErrorString(error), ContainsRegex("kernel .*Diverge.*, block \\([01], 0, 0\\): threads wait"));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  cudaStreamDestroy(stream);
}

TEST(Simt, AGraphIsRecordedAndReplayed) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  int x = 0;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  cudaMemsetAsync(&x, 0, sizeof x, stream);
  cuda::Launch(stream, &Increment, 1, 32, 0, &x, 2);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(x, 0);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  cudaGraphDestroy(graph);
  for (int i = 0; i < 2; ++i) {
    x = 7;
    cudaGraphLaunch(exec, stream);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(x, 64);
  }
  cudaGraphExecDestroy(exec);
  cudaStreamDestroy(stream);
  cudaGetLastError();
}

}  // namespace
}  // namespace gptc::simt
