// CUDA's runtime library, as far as include/cuda_runtime.h declares it.
#include <cuda_runtime.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/check.h"

namespace gptc::simt {

using Work = std::vector<std::function<void()>>;

struct Stream {
  bool capturing = false;
  Work recorded;
};
struct Event {
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};
struct Graph {
  std::shared_ptr<const Work> work;
};
struct GraphExec {
  std::shared_ptr<const Work> work;
};

namespace {

struct Library {
  std::deque<std::function<void()>> queue;  // of all streams
  std::string failure;                      // of a grid, since it was last asked for
  std::string last_failure;                 // what cudaGetErrorString says
  cudaError_t last_error = cudaSuccess;
  int multiprocessors = 5, compute_capability = 9;
  Faults faults;
  size_t given = 0;                                  // bytes
  std::map<void*, std::pair<void*, size_t>> memory;  // what was given out, and the pages that it lies in
};

Library& library() {
  static Library* const library = new Library;
  return *library;
}

cudaError_t Remember(cudaError_t error) {
  if (error != cudaSuccess) library().last_error = error;
  return error;
}

// Runs what was enqueued; after a failure nothing more of it.
cudaError_t Drain(const std::function<bool()>& done = nullptr) {
  Library& all = library();
  while (!all.queue.empty() && (done == nullptr || !done())) {
    const std::function<void()> work = std::move(all.queue.front());
    all.queue.pop_front();
    work();
    if (!all.failure.empty()) all.queue.clear();
  }
  if (all.failure.empty()) return cudaSuccess;
  all.last_failure = std::exchange(all.failure, "");
  return cudaErrorLaunchFailure;
}

// NaN, in whole units of 256 bytes. The page behind them belongs to nobody: who reads there is stopped.
void* TakeMemory(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t whole = (bytes + 255) / 256 * 256, pages = (whole + page - 1) / page * page;
  if (pages > library().faults.memory - std::min(library().given, library().faults.memory)) return nullptr;
  void* const base = mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  mprotect(static_cast<std::byte*>(base) + pages, page, PROT_NONE);
  void* const data = static_cast<std::byte*>(base) + pages - whole;
  memset(data, 0xff, whole);
  library().memory[data] = {base, pages + page};
  library().given += pages;
  return data;
}

void GiveMemory(void* data) {
  const auto at = library().memory.find(data);
  CHECK(at != library().memory.end(), "memory is freed that is not the device's");
  munmap(at->second.first, at->second.second);
  library().given -= at->second.second - static_cast<size_t>(sysconf(_SC_PAGESIZE));
  library().memory.erase(at);
}

}  // namespace

void Enqueue(Stream* stream, std::function<void()> fn) {
  if (stream != nullptr && stream->capturing) {
    stream->recorded.push_back(std::move(fn));
  } else {
    library().queue.push_back(std::move(fn));
  }
}

void EnqueueGrid(Stream* stream, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body,
                 const void* kernel) {
  Enqueue(stream, [=, body = std::move(body)] {
    int64_t& grids = library().faults.grids;
    std::string failure = grids == 0 ? "the emulated GPU is lost" : RunGrid(grid, block, shared_bytes, body, kernel);
    if (grids >= 0) --grids;
    if (library().failure.empty()) library().failure = std::move(failure);
  });
}

void SetFaults(const Faults& faults) { library().faults = faults; }
void SetMultiprocessors(int count) { library().multiprocessors = count; }
void SetComputeCapability(int major) { library().compute_capability = major; }

void CompleteShuffle(void* const* lanes, unsigned mask) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    Exchange& lane = *static_cast<Exchange*>(lanes[std::countr_zero(rest)]);
    if ((mask >> lane.source & 1) == 0) {
      Fail("a lane reads lane " + std::to_string(lane.source) + " by a shuffle in which that does not take part");
    }
    lane.result = static_cast<const Exchange*>(lanes[lane.source])->value;
  }
}

void CompleteBallot(void* const* lanes, unsigned mask) {
  uint64_t votes = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    votes |= static_cast<const Exchange*>(lanes[lane])->value << lane;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1)
    static_cast<Exchange*>(lanes[std::countr_zero(rest)])->result = votes;
}

}  // namespace gptc::simt

using gptc::simt::Drain;
using gptc::simt::Enqueue;
using gptc::simt::library;
using gptc::simt::Remember;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorECCUncorrectable:
      return "cudaErrorECCUncorrectable";
    case cudaErrorUnsupportedPtxVersion:
      return "cudaErrorUnsupportedPtxVersion";
    case cudaErrorInvalidKernelImage:
      return "cudaErrorInvalidKernelImage";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchTimeout:
      return "cudaErrorLaunchTimeout";
    case cudaErrorHardwareStackError:
      return "cudaErrorHardwareStackError";
  }
  return "an unknown error";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure ? library().last_failure.c_str() : cudaGetErrorName(error);
}
cudaError_t cudaGetLastError() { return std::exchange(library().last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return library().last_error; }

cudaError_t cudaDriverGetVersion(int* version) { return *version = library().faults.driver, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = library().faults.devices, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return Remember(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return Remember(cudaErrorInvalidDevice);
  *properties = {};
  snprintf(properties->name, sizeof properties->name, "emulated GPU");
  properties->major = library().compute_capability;
  properties->multiProcessorCount = library().multiprocessors;
  size_t free = 0;
  cudaMemGetInfo(&free, &properties->totalGlobalMem);
  properties->sharedMemPerMultiprocessor = 228 << 10;
  properties->sharedMemPerBlockOptin = gptc::simt::kMostShared;
  properties->l2CacheSize = 50 << 20;
  properties->warpSize = gptc::simt::kLanes;
  properties->maxThreadsPerMultiProcessor = 2048;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return Remember(cudaErrorInvalidDevice);
  *value = attribute == cudaDevAttrMultiProcessorCount      ? library().multiprocessors
           : attribute == cudaDevAttrComputeCapabilityMajor ? library().compute_capability
                                                            : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return Drain(); }

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return *stream = new gptc::simt::Stream, cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const cudaError_t error = Drain();
  delete stream;
  return error;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr && stream->capturing) return Remember(cudaErrorStreamCaptureUnsupported);
  return Drain();
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  *data = bytes == 0 ? nullptr : gptc::simt::TakeMemory(bytes);
  return Remember(bytes > 0 && *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFree(void* data) {
  const cudaError_t error = Drain();
  if (data != nullptr) gptc::simt::GiveMemory(data);
  return error;
}
cudaError_t cudaMallocHost(void** data, size_t bytes) { return cudaMalloc(data, bytes); }
cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  *free = page * static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES));
  *total = page * static_cast<size_t>(sysconf(_SC_PHYS_PAGES));
  const gptc::simt::Faults& faults = library().faults;
  *free = std::min(*free, faults.memory - std::min(library().given, faults.memory));
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind /*kind*/, cudaStream_t stream) {
  Enqueue(stream, [=] { memmove(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return Drain();
}
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  Enqueue(stream, [=] { memset(to, byte, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int byte, size_t bytes) { return cudaMemsetAsync(to, byte, bytes, nullptr); }

cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new gptc::simt::Event, cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const cudaError_t error = Drain();
  delete event;
  return error;
}
// In a graph it orders streams, which are in order here anyway, and takes no time.
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (stream != nullptr && stream->capturing) return cudaSuccess;
  event->recorded = false;
  Enqueue(stream, [event] {
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
  });
  return cudaSuccess;
}
// What lies behind the event stays in the queue.
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return Drain([event] { return event->recorded; });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->recorded || !end->recorded) return Remember(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t /*stream*/, cudaEvent_t /*event*/, unsigned /*flags*/) {
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  if (stream == nullptr) return Remember(cudaErrorStreamCaptureUnsupported);
  if (stream->capturing) return Remember(cudaErrorIllegalState);
  stream->capturing = true;
  stream->recorded.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || !stream->capturing) return Remember(cudaErrorIllegalState);
  stream->capturing = false;
  *graph = new gptc::simt::Graph{std::make_shared<const gptc::simt::Work>(std::exchange(stream->recorded, {}))};
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream != nullptr && stream->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long /*flags*/) {
  *exec = new gptc::simt::GraphExec{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t /*exec*/, cudaStream_t /*stream*/) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const auto& work : *exec->work) Enqueue(stream, work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
