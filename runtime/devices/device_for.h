// The device that a plan is for.
#ifndef GPTC_RUNTIME_DEVICES_DEVICE_FOR_H_
#define GPTC_RUNTIME_DEVICES_DEVICE_FOR_H_

#include <memory>
#include <string_view>

#include "ir/base/status.h"
#include "runtime/exec/device.h"

namespace gptc {

// Opens it. FailedPrecondition, with what to do, where this machine or this build of the program cannot run plans for
// `target`.
StatusOr<std::unique_ptr<Device>> DeviceFor(std::string_view target);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DEVICES_DEVICE_FOR_H_
