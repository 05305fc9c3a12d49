// How much memory this machine has left: what a plan is compiled for (--memory-budget auto) and checked against.
#ifndef GPTC_IR_BASE_AVAILABLE_MEMORY_H_
#define GPTC_IR_BASE_AVAILABLE_MEMORY_H_

#include <cstdint>

namespace gptc {

// Bytes that a process can still take without swapping: the kernel's MemAvailable and, where smaller, what the
// control group leaves. -1 where neither can be read.
int64_t AvailableMemory();

}  // namespace gptc

#endif  // GPTC_IR_BASE_AVAILABLE_MEMORY_H_
