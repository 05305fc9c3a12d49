// fused: by the kernel that the compiler generated for the region and the types of its operands (runtime/plan/
// generated.h), which the plan holds and the device has loaded. There is no other for it.
#include <memory>
#include <vector>

#include "runtime/cuda/arguments.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/generated.h"
#include "runtime/cuda/kernels.h"
#include "runtime/plan/generated.h"

namespace gptc {
namespace {

struct Bound {
  std::vector<LoadedKernel::Launch> launches;
  std::vector<void*> addresses;  // what the functions take
  std::vector<void*> arguments;  // and where each of it stands, as launches want it
  const ScratchPool* scratch = nullptr;
};

}  // namespace

StatusOr<BoundKernel> BindCudaFused(const KernelArgs& args) {
  std::vector<Type> operands;
  for (const TensorView& input : args.inputs) operands.push_back(input.type);
  const std::string name = GeneratedKernelName(args.attributes.Str("region"), operands);
  CudaDevice& device = CudaDeviceOf(args);
  const LoadedKernel* kernel = device.generated().Find(name);
  if (kernel == nullptr) {
    return absl::UnimplementedError(
        Cat("fused: the plan has no generated kernel ", name, "; compile the model again for this target"));
  }
  auto bound = std::make_shared<Bound>();
  bound->launches = kernel->launches;
  for (const TensorView& input : args.inputs) bound->addresses.push_back(input.data);
  for (const TensorView& result : args.results) bound->addresses.push_back(result.data);
  if (kernel->scratch_bytes > 0) {
    args.scratch.Request(kernel->scratch_bytes);
    bound->scratch = &args.scratch;
    bound->addresses.push_back(nullptr);
  }
  for (void*& address : bound->addresses) bound->arguments.push_back(&address);
  return BoundKernel([bound, stream = device.stream()] {
    if (bound->scratch != nullptr) bound->addresses.back() = bound->scratch->data();
    for (const LoadedKernel::Launch& launch : bound->launches) {
      cudaLaunchKernel(reinterpret_cast<const void*>(launch.function), launch.grid, dim3(launch.threads),
                       bound->arguments.data(), 0, stream);
    }
  });
}

}  // namespace gptc
