// The machine's processor as a device.
#ifndef GPTC_RUNTIME_CPU_DEVICE_H_
#define GPTC_RUNTIME_CPU_DEVICE_H_

#include "runtime/cpu/kernels.h"
#include "runtime/cpu/roofline.h"
#include "runtime/exec/device.h"

namespace gptc {

class CpuDevice : public HostDevice {
 public:
  CpuDevice() : HostDevice(&CpuKernel) {}
  StatusOr<Roofline> MeasureCeilings(const plan::PlanT& plan) override { return MeasureRoofline(plan); }
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_DEVICE_H_
