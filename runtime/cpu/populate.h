// Memory before it is used.
#ifndef GPTC_RUNTIME_CPU_POPULATE_H_
#define GPTC_RUNTIME_CPU_POPULATE_H_

#include <cstddef>
#include <span>

namespace gptc {

// Asks the system for the pages of these ranges at once, by all threads; what they hold stays. Left to the first touch,
// pages come one by one within kernels, whose threads then wait for each other. Does nothing where the system cannot
// (Linux before 5.14).
void Populate(std::span<const std::span<std::byte>> ranges);

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_POPULATE_H_
