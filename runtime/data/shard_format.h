// What reader and writer of shards agree on.
#ifndef GPTC_RUNTIME_DATA_SHARD_FORMAT_H_
#define GPTC_RUNTIME_DATA_SHARD_FORMAT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gptc {

inline constexpr int64_t kShardHeader = 1024;  // bytes
inline constexpr int32_t kShardMagic16 = 20240520, kShardVersion16 = 1;
inline constexpr int32_t kShardMagic32 = 20240801, kShardVersion32 = 7;

// The split that a file's name says: "train" for "a_train_000001.bin" and "a_train.bin", "" for "train.bin" and others.
// `extension` has its dot.
std::string SplitOfName(std::string_view file_name, std::string_view extension);
// Of 16 hexadecimal digits.
std::string HashText(uint64_t hash);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_SHARD_FORMAT_H_
