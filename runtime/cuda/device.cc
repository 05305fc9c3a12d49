#include "runtime/cuda/device.h"

#include <cstring>
#include <memory>
#include <utility>

#include "runtime/cuda/kernels.h"

namespace gptc {
namespace {

// After these every call fails.
bool GpuIsLost(cudaError_t error) {
  return error == cudaErrorIllegalAddress || error == cudaErrorLaunchFailure || error == cudaErrorLaunchTimeout ||
         error == cudaErrorECCUncorrectable || error == cudaErrorHardwareStackError;
}

// The place where CUDA's error codes become a Status.
Status FromCuda(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return OkStatus();
  const std::string text = Cat(what, ": CUDA says ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
  if (error == cudaErrorMemoryAllocation) return OutOfMemory(text);
  if (GpuIsLost(error)) {
    return Failure(text,
                   "; the GPU can do no more for this program: start it again, and a run from its last checkpoint");
  }
  return Failure(text);
}

std::string VersionText(int version) { return Cat(version / 1000, ".", version % 1000 / 10); }

Status CheckDriver() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) {
    return FailedPrecondition(
        "no NVIDIA driver is installed on this machine (libcuda.so.1); plans for CUDA need one of ", "CUDA ",
        VersionText(runtime), " or newer");
  }
  if (driver / 1000 < runtime / 1000) {
    return FailedPrecondition("the NVIDIA driver is too old: it knows CUDA ", VersionText(driver),
                              ", this program needs ", VersionText(runtime), "; update the driver");
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Create() {
  RETURN_IF_ERROR(CheckDriver());
  int count = 0;
  RETURN_IF_ERROR(FromCuda(cudaGetDeviceCount(&count), "looking for GPUs"));
  if (count == 0) return FailedPrecondition("this machine has a driver and no GPU that it may use");
  int current = 0;
  RETURN_IF_ERROR(FromCuda(cudaGetDevice(&current), "choosing a GPU"));
  cudaDeviceProp properties;
  RETURN_IF_ERROR(FromCuda(cudaGetDeviceProperties(&properties, current), "reading the GPU's properties"));
  std::unique_ptr<CudaDevice> device(new CudaDevice);
  device->name_ = properties.name;
  device->sm_ = 10 * properties.major + properties.minor;
  device->multiprocessors_ = properties.multiProcessorCount;
  constexpr int kLeastSm = 80;
  if (device->sm_ < kLeastSm) {
    return FailedPrecondition(device->name_, " is sm_", device->sm_, ", and the kernels of this program need sm_",
                              kLeastSm, " (Ampere) or newer; compile the model with --target native");
  }
  RETURN_IF_ERROR(FromCuda(cudaStreamCreateWithFlags(&device->stream_, cudaStreamNonBlocking), "making a stream"));
  for (cudaEvent_t& event : device->events_) {
    RETURN_IF_ERROR(FromCuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making events"));
  }
  ASSIGN_OR_RETURN(device->gemm_, MakeGemm(device->stream_, device->sm_));
  ASSIGN_OR_RETURN(device->attention_, MakeAttentionEngine(device->stream_));
  return device;
}

CudaDevice::~CudaDevice() {
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(stream_);
  gemm_.reset();
  attention_.reset();
  for (const cudaEvent_t event : events_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  cudaStreamDestroy(stream_);
}

KernelFactory CudaDevice::Kernel(std::string_view op) const { return CudaKernel(op); }

StatusOr<Region> CudaDevice::Allocate(size_t bytes, std::string_view what) {
  if (bytes == 0) return Region();
  void* data = nullptr;
  if (const cudaError_t error = cudaMalloc(&data, bytes); error != cudaSuccess) {
    cudaGetLastError();  // it is said here, and would otherwise be said again by the next call
    return FromCuda(error, Cat("allocating ", HumanBytes(static_cast<int64_t>(bytes)), " for ", what, " on ", name_,
                               ", where ", HumanBytes(AvailableMemory()), " are free"));
  }
  Region region(data, bytes, [](void* memory, size_t) { cudaFree(memory); });
  RETURN_IF_ERROR(FromCuda(cudaMemsetAsync(data, 0, bytes, stream_), what));
  RETURN_IF_ERROR(Synchronize());
  return region;
}

StatusOr<Region> CudaDevice::AllocateHost(size_t bytes, std::string_view what) {
  if (bytes == 0) return Region();
  void* data = nullptr;
  RETURN_IF_ERROR(FromCuda(cudaMallocHost(&data, bytes), Cat("allocating ", bytes, " pinned bytes for ", what)));
  memset(data, 0, bytes);
  return Region(data, bytes, [](void* memory, size_t) { cudaFreeHost(memory); });
}

int64_t CudaDevice::AvailableMemory() const {
  size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : -1;
}

// Errors are kept by the stream and come up in Synchronize().
void CudaDevice::Copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_);
}

void CudaDevice::Fill(void* to, unsigned char byte, size_t bytes) {
  if (bytes > 0) cudaMemsetAsync(to, byte, bytes, stream_);
}

// The first run launches one by one, which loads the kernels' code; the second is recorded as a graph, which all later
// ones replay. So nothing has to be loaded while recording, where CUDA does not allow everything.
StatusOr<BoundKernel> CudaDevice::Record(WorkList work) {
  std::erase_if(work, [](const BoundKernel& item) { return !item; });
  struct Recording {
    WorkList work;  // owns what the graph's nodes point to
    int runs = 0;
    cudaGraphExec_t graph = nullptr;
    ~Recording() {
      if (graph != nullptr) cudaGraphExecDestroy(graph);
    }
  };
  auto recording = std::make_shared<Recording>();
  recording->work = std::move(work);
  return BoundKernel([this, recording] {
    const auto run_all = [&] {
      for (const BoundKernel& item : recording->work) item();
    };
    if (recording->runs < 2) ++recording->runs;
    if (recording->runs == 2 && recording->graph == nullptr) {
      // Kept for Synchronize(), as every error of enqueued work.
      const auto keep = [this](cudaError_t error) {
        if (error != cudaSuccess && enqueueing_ == cudaSuccess) enqueueing_ = error;
      };
      cudaGraph_t graph = nullptr;
      keep(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed));
      run_all();
      keep(cudaStreamEndCapture(stream_, &graph));
      if (graph != nullptr) keep(cudaGraphInstantiate(&recording->graph, graph, 0));
      if (graph != nullptr) cudaGraphDestroy(graph);
    }
    if (recording->graph != nullptr) {
      cudaGraphLaunch(recording->graph, stream_);
    } else {
      run_all();
    }
  });
}

Status CudaDevice::Synchronize() { return Settle(cudaStreamSynchronize(stream_)); }

Device::Mark CudaDevice::SetMark() {
  ++marks_;
  cudaEventRecord(events_[marks_ % events_.size()], stream_);
  return marks_;
}

// An event that has been recorded again since lies further behind.
Status CudaDevice::Await(Mark mark) { return Settle(cudaEventSynchronize(events_[mark % events_.size()])); }

Status CudaDevice::Settle(cudaError_t waited) {
  RETURN_IF_ERROR(FromCuda(waited, name_));
  RETURN_IF_ERROR(FromCuda(cudaGetLastError(), name_));
  if (gemm_ != nullptr) RETURN_IF_ERROR(gemm_->TakeFailure());
  return FromCuda(std::exchange(enqueueing_, cudaSuccess), Cat(name_, ": recording a graph"));
}

Status CudaDevice::RunTimed(const WorkList& work, std::vector<Span>& times) {
  std::vector<cudaEvent_t> events(work.size() + 1, nullptr);
  for (cudaEvent_t& event : events) RETURN_IF_ERROR(FromCuda(cudaEventCreate(&event), "making events"));
  cudaEventRecord(events[0], stream_);
  for (size_t i = 0; i < work.size(); ++i) {
    if (work[i]) work[i]();
    cudaEventRecord(events[i + 1], stream_);
  }
  Status status = Synchronize();
  times.assign(work.size(), {});
  for (size_t i = 0; i < work.size() && status.ok(); ++i) {
    float begin = 0, took = 0;
    cudaEventElapsedTime(&begin, events[0], events[i]);
    cudaEventElapsedTime(&took, events[i], events[i + 1]);
    times[i] = {begin * 1e-3, work[i] ? took * 1e-3 : 0};
  }
  for (cudaEvent_t event : events) cudaEventDestroy(event);
  return status;
}

}  // namespace gptc
