// XXH64 of files, and checksums.xxh: lines of "<16 hex digits>  <path>" as xxhsum writes them and `xxhsum -c` reads.
#ifndef GPTC_RUNTIME_FORMATS_XXH_H_
#define GPTC_RUNTIME_FORMATS_XXH_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "ir/base/status.h"

namespace gptc {

inline constexpr const char* kChecksumsFile = "checksums.xxh";

// XXH64 with seed 0.
uint64_t XxhOf(const void* data, size_t size);
StatusOr<uint64_t> XxhOfFile(const std::string& path);
// 16 hex digits, most significant first.
std::string XxhText(uint64_t digest);

// Writes folder/checksums.xxh over every other regular file of the folder and its subfolders, and fsyncs it.
Status WriteChecksums(const std::string& folder);

// Checks that the folder holds exactly the files that its checksums.xxh lists, with those digests. DataLoss that names
// the first file that differs, is missing or is not listed, or checksums.xxh itself where a line is malformed; NotFound
// without one.
Status VerifyChecksums(const std::string& folder);

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_XXH_H_
