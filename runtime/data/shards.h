// Token shards: files of token ids, read through memory maps, and the writer of our own.
//
// Forms that are read, little-endian:
//   llm.c     {name}_{split}_%06d.bin or {name}_{split}.bin: a header of 256 int32, [20240520, 1, tokens], then u16
//   ids;
//             or [20240801, 7, tokens], then u32 ids. The size must be exact.
//   numpy     {name}_{split}_%06d.npy (build-nanogpt): one dimension of u2, u4, i4 or i8.
//   nanoGPT   {split}.bin: u16 ids and nothing else.
// A folder is read in one form, the first of these that it holds for the split; files follow each other in the order of
// their names. shards.json beside them (ours) says which vocabulary the ids are of.
#ifndef GPTC_RUNTIME_DATA_SHARDS_H_
#define GPTC_RUNTIME_DATA_SHARDS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/base/status.h"
#include "runtime/formats/files.h"

namespace gptc {

inline constexpr int64_t kShardTokens = 100'000'000;  // that a shard of ours holds at most

// shards.json.
struct ShardsInfo {
  struct File {
    std::string name;  // within the folder
    int64_t tokens = 0;
    std::string xxh3;  // XXH3 (64 bits, 16 hexadecimal digits) of the ids, that is of all after the header; "" unknown
  };
  struct Split {
    int64_t tokens = 0;
    int64_t text_bytes = 0;  // of the text that the tokens stand for, end-of-text tokens not counted
    std::vector<File> files;
  };
  std::string tokenizer_kind;  // "bytes", "chars", "bpe"
  std::string tokenizer_hash;  // Tokenizer::hash_text()
  int64_t vocab_size = 0;
  std::optional<int64_t> eot;
  std::map<std::string, Split> splits;  // "train", "val"
};
std::string ShardsJson(const ShardsInfo& info);
// `where` names the file in errors.
StatusOr<ShardsInfo> ParseShardsJson(std::string_view text, const std::string& where);

// All shards of one split, as one row of tokens. Immutable but for Validate; reading is safe from several threads.
class ShardSet {
 public:
  // NotFound, naming `dir`, where there is no such folder or it holds no shards of the split; DataLoss, naming the
  // file, for one that is damaged, cut short or not as shards.json has it.
  static StatusOr<ShardSet> Open(const std::string& dir, const std::string& split);

  // Refuses tokens of another vocabulary: InvalidArgument, naming shards.json or the shard, where the vocabulary of the
  // shards is larger than `vocab` or a token is not below it. Sets of up to 16 Mi tokens are looked through whole, of
  // larger ones the start; all others are checked as they are read. Call before Read.
  Status Validate(int64_t vocab);

  // Tokens [first, first + out.size()). InvalidArgument, naming file and place, for a token outside the vocabulary.
  // REQUIRES: the range lies within [0, tokens()].
  Status Read(int64_t first, std::span<int32_t> out) const;

  int64_t tokens() const { return tokens_; }
  const std::string& folder() const { return folder_; }
  const std::string& split() const { return split_; }
  const std::optional<ShardsInfo>& info() const { return info_; }
  // Bytes of text that a token stands for on average, where shards.json says it: bits per byte = loss / ln 2 / this.
  std::optional<double> bytes_per_token() const;

 private:
  struct Shard {
    std::string path;
    MappedFile file;
    int64_t first = 0;  // its first token's number within the set
    int64_t tokens = 0;
    const std::byte* data = nullptr;
    int width = 2;  // bytes of an id: 2, 4 or 8
  };

  static StatusOr<Shard> OpenShard(const std::string& path, bool headerless);
  static StatusOr<Shard> ReadNpyHeader(Shard shard);
  Status CheckAgainstInfo(const std::vector<std::string>& names) const;
  Status ReadWithin(const Shard& shard, int64_t at, std::span<int32_t> out) const;

  std::string folder_, split_;
  std::vector<Shard> shards_;
  int64_t tokens_ = 0;
  int64_t vocab_ = int64_t{1} << 31;  // what tokens must be below
  std::optional<ShardsInfo> info_;
};

// Writes {name}_{split}_%06d.bin, u16 where the vocabulary allows it and else u32, each under a temporary name first,
// and shards.json last: a folder with shards.json is whole. Shards of an earlier run that its shards.json names are
// removed.
class ShardWriter {
 public:
  // `info` gives kind, hash, vocabulary and end-of-text. Makes the folder. AlreadyExists where it holds shards that no
  // shards.json names.
  static StatusOr<std::unique_ptr<ShardWriter>> Create(const std::string& dir, const std::string& name, ShardsInfo info,
                                                       int64_t shard_tokens = kShardTokens);
  ~ShardWriter();  // without Finish the shard in work is removed

  // Appends to the split. A new split ends the one before, to which no more can be added.
  Status Add(const std::string& split, std::span<const int32_t> tokens);
  // Counts bytes of text toward the split.
  void AddTextBytes(const std::string& split, int64_t bytes) { info_.splits[split].text_bytes += bytes; }
  // Closes the last shard and writes shards.json.
  Status Finish();
  const ShardsInfo& info() const { return info_; }

 private:
  class OpenShardFile;
  ShardWriter(std::string dir, std::string name, ShardsInfo info, int64_t shard_tokens);
  Status CloseShard();

  std::string folder_, name_;
  ShardsInfo info_;
  int64_t shard_tokens_;
  std::string split_;  // the one in work
  std::unique_ptr<OpenShardFile> shard_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_SHARDS_H_
