// Sizes as people write them: "6GiB", "512 MiB", "1.5GB", "1048576".
#ifndef GPTC_FRONTENDS_COMMON_BYTE_SIZE_H_
#define GPTC_FRONTENDS_COMMON_BYTE_SIZE_H_

#include <cstdint>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

// Bytes, at least 1 and at most 2^60. Units KiB MiB GiB TiB (powers of 1024), KB MB GB TB (powers of 1000) and B, in
// any case; none means bytes. UsageError that names the flag otherwise.
StatusOr<int64_t> ParseByteSize(std::string_view flag, std::string_view text);

// --memory-budget: a size, or "auto" for what the machine has free, less what code and libraries take.
StatusOr<int64_t> ParseMemoryBudget(std::string_view text);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_COMMON_BYTE_SIZE_H_
