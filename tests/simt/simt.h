// Emulation of a CUDA device on the CPU: the kernels of runtime/cuda, compiled as plain C++, run with each CUDA thread
// as a fiber. Made for tests: what a GPU would do silently is an error here, or comes out as NaN.
//
//   - Blocks run one after another, in an order of their own; the warps of a block in one that changes with the block,
//     each as far as it gets. A missing barrier is a read of something not yet written.
//   - Shared memory is NaN when a block begins and lies between guards that are checked when it ends. It is aligned as
//     its type demands and no better.
//   - At a barrier, a shuffle or a warp-wide instruction a fiber waits until all that must take part have arrived.
//     Where they never do, or arrive elsewhere, the grid fails: the message says who waits where.
//   - What is enqueued on a stream runs when the host waits for it, not before.
//
// It does not see races between threads that no order of whole warps brings out, nor what ptxas makes of the code.
// One host thread at a time.
#ifndef GPTC_TESTS_SIMT_SIMT_H_
#define GPTC_TESTS_SIMT_SIMT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <source_location>
#include <string>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};

// Of the fiber that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace gptc::simt {

inline constexpr int kLanes = 32;
inline constexpr size_t kMostShared = 227 << 10, kMostStaticShared = 48 << 10;  // bytes of a block, as on sm_90

// Runs body() once for every thread of the grid. "" or what went wrong; the grid's remaining threads are then dropped
// where they stood. `kernel`: a function that the message names.
std::string RunGrid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body,
                    const void* kernel = nullptr);

// Another order of blocks, warps and lanes in the grids to come.
void SetOrder(uint32_t seed);

// A stream, null being the default one. All of them are one queue, emptied when the host waits for any of them.
struct Stream;
// Appends fn() to the stream: to the graph that is being recorded on it, or else to what runs at the next wait.
void Enqueue(Stream* stream, std::function<void()> fn);
void EnqueueGrid(Stream* stream, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body,
                 const void* kernel);
// How many multiprocessors devices have from now on; 5 at the beginning, so that small tensors go round them twice.
void SetMultiprocessors(int count);
// Of which major compute capability they are; 9 at the beginning.
void SetComputeCapability(int major);
// What is wrong with the machine from now on; nothing at the beginning.
struct Faults {
  int driver = 13000;  // CUDA version that the driver knows; 0: there is none
  int devices = 1;
  size_t memory = ~size_t{0};  // bytes that can be had
  int64_t grids = -1;          // the one behind this many fails, as when a GPU is lost; -1: none
};
void SetFaults(const Faults& faults);
// Whether products have epilogues beyond a bias (gemm_on_host.cc); without, binders compute them in parts.
void SetProductEpilogues(bool all);
// Which of the ways to its results an op goes from now on, counted modulo their number; none: the binder's own choice.
void SetWay(std::optional<size_t> way);

// ---- for the emulated instructions, which run on fibers ----

// Ends the grid with this message; does not return.
[[noreturn]] void Fail(const std::string& message);

// Waits for the warp's lanes of the mask; the last one calls complete(lanes, mask), with what each lane gave, before
// any goes on.
using Complete = void (*)(void* const* lanes, unsigned mask);
void MeetWarp(const char* what, unsigned mask, void* lane, Complete complete, std::source_location where);
// Waits for all threads of the block. The result: in how many of them `vote` is true.
int MeetBlock(const char* what, bool vote, std::source_location where);
int Lane();

// The block's shared memory of this site, the same for all its threads.
void* SharedBytes(const void* site, size_t bytes, size_t alignment);
template <typename T>
T* SharedArray(const void* site, size_t count) {
  return static_cast<T*>(SharedBytes(site, count * sizeof(T), alignof(T)));
}
unsigned char* DynamicShared();
// Whether these bytes lie in one of the block's shared arrays.
bool IsShared(const void* address, size_t bytes);

// Asynchronous copies of this fiber. They are made by the wait; till then their destination is NaN.
void StartCopy16(void* shared, const void* global, bool valid);
void CommitCopies();
void WaitForCopies(int pending_groups);

}  // namespace gptc::simt

#endif  // GPTC_TESTS_SIMT_SIMT_H_
