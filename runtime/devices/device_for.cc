#include "runtime/devices/device_for.h"

#include "ir/base/target.h"
#include "runtime/cpu/device.h"
#ifdef GPTC_CUDA
#include "runtime/cuda/device.h"
#endif

namespace gptc {

StatusOr<std::unique_ptr<Device>> DeviceFor(std::string_view target) {
  RETURN_IF_ERROR(CheckTarget(target));
  if (!IsCuda(target)) return std::make_unique<CpuDevice>();
#ifdef GPTC_CUDA
  ASSIGN_OR_RETURN(std::unique_ptr<CudaDevice> device, CudaDevice::Create());
  if (const int sm = SmOf(target); device->sm() < sm) {
    return FailedPrecondition("the plan is for ", target, ", and ", device->name(), " is sm_", device->sm(),
                              "; compile it with --target cuda:sm_", device->sm());
  }
  return device;
#else
  return FailedPrecondition("the plan is for ", target,
                            ", and this program was built without CUDA; build it where the CUDA toolkit is, or compile "
                            "the model with --target native");
#endif
}

}  // namespace gptc
