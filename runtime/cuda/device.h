// A GPU, by way of CUDA's runtime library; or its emulation on the CPU (tests/simt), which has the same functions.
#ifndef GPTC_RUNTIME_CUDA_DEVICE_H_
#define GPTC_RUNTIME_CUDA_DEVICE_H_

#include <cuda_runtime.h>

#include <array>
#include <memory>
#include <string>

#include "runtime/cuda/attention_engine.h"
#include "runtime/cuda/gemm.h"
#include "runtime/cuda/generated.h"
#include "runtime/exec/device.h"

namespace gptc {

class CudaDevice : public Device {
 public:
  // The current GPU. FailedPrecondition where there is none, or its driver is too old for this program, with both
  // versions.
  static StatusOr<std::unique_ptr<CudaDevice>> Create();
  ~CudaDevice() override;

  cudaStream_t stream() const { return stream_; }
  Gemm& gemm() { return *gemm_; }
  AttentionEngine* attention() { return attention_.get(); }  // null: our own kernels
  const GeneratedKernels& generated() const { return generated_; }
  int sm() const { return sm_; }                            // 90: compute capability 9.0
  int multiprocessors() const { return multiprocessors_; }  // for grids that fill the chip

  std::string name() const override { return name_; }
  KernelFactory Kernel(std::string_view op) const override;
  Status LoadKernels(const plan::PlanT& plan) override {
    return plan.generated == nullptr ? OkStatus() : generated_.Load(*plan.generated, sm_);
  }
  StatusOr<Region> Allocate(size_t bytes, std::string_view what) override;
  StatusOr<Region> AllocateHost(size_t bytes, std::string_view what) override;
  int64_t AvailableMemory() const override;
  bool SharesMemoryWithHost() const override { return false; }
  void Copy(void* to, const void* from, size_t bytes) override;
  void Fill(void* to, unsigned char byte, size_t bytes) override;
  StatusOr<BoundKernel> Record(WorkList work) override;
  Status Synchronize() override;
  bool WorksBesideHost() const override { return true; }
  Mark SetMark() override;
  Status Await(Mark mark) override;
  Status RunTimed(const WorkList& work, std::vector<Span>& times) override;
  StatusOr<Roofline> MeasureCeilings(const plan::PlanT& plan) override;
  Status Tune(const std::function<void(const ProductTiming&)>& report) override { return gemm_->Tune(report); }

 private:
  CudaDevice() = default;
  // What `waited` gave, or the first error of what was enqueued.
  Status Settle(cudaError_t waited);

  std::string name_;
  int sm_ = 0, multiprocessors_ = 0;
  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, 8> events_ = {};  // of the last marks, by turns
  Mark marks_ = 0;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<AttentionEngine> attention_;
  GeneratedKernels generated_;
  cudaError_t enqueueing_ = cudaSuccess;  // the first error of recording since the last Synchronize()
};

// The engine of a stream: cuBLASLt (gemm_cublaslt.cc), or the emulation's.
StatusOr<std::unique_ptr<Gemm>> MakeGemm(cudaStream_t stream, int sm);

// The device that a kernel is bound for.
inline CudaDevice& CudaDeviceOf(const KernelArgs& args) { return static_cast<CudaDevice&>(*args.device); }

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_DEVICE_H_
