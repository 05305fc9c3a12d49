#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "ir/base/check.h"
#include "runtime/data/shard_format.h"
#include "runtime/data/shards.h"
#include "xxhash.h"

namespace gptc {

// One shard in work, under its temporary name.
class ShardWriter::OpenShardFile {
 public:
  OpenShardFile(std::string path, int width) : path_(std::move(path)), temporary_(path_ + ".tmp"), width_(width) {
    XXH3_64bits_reset(hash_);
  }
  ~OpenShardFile() {
    if (descriptor_ >= 0) {
      close(descriptor_);
      unlink(temporary_.c_str());
    }
    XXH3_freeState(hash_);
  }

  Status Create() {
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) return ErrnoStatus(errno, "create", temporary_);
    return WriteHeader();  // for its room; Close writes it again with the count
  }

  Status Append(std::span<const int32_t> tokens) {
    tokens_ += static_cast<int64_t>(tokens.size());
    if (width_ == 4) return Write(tokens.data(), tokens.size_bytes());
    narrow_.assign(tokens.begin(), tokens.end());
    return Write(narrow_.data(), narrow_.size() * sizeof(uint16_t));
  }

  // Gives the file its name; the tokens' checksum goes into `xxh3`.
  Status Close(std::string* xxh3) {
    if (lseek(descriptor_, 0, SEEK_SET) != 0) return ErrnoStatus(errno, "write", temporary_);
    RETURN_IF_ERROR(WriteHeader());
    if (fsync(descriptor_) != 0) return ErrnoStatus(errno, "write", temporary_);
    const int closed = close(std::exchange(descriptor_, -1));
    if (closed != 0) return ErrnoStatus(errno, "write", temporary_);
    *xxh3 = HashText(XXH3_64bits_digest(hash_));
    return RenamePath(temporary_, path_);
  }

  int64_t tokens() const { return tokens_; }

 private:
  Status WriteHeader() {
    int32_t header[kShardHeader / 4] = {width_ == 2 ? kShardMagic16 : kShardMagic32,
                                        width_ == 2 ? kShardVersion16 : kShardVersion32, static_cast<int32_t>(tokens_)};
    return WriteAll(descriptor_, header, sizeof header, temporary_);
  }
  Status Write(const void* data, size_t size) {
    XXH3_64bits_update(hash_, data, size);
    return WriteAll(descriptor_, data, size, temporary_);
  }

  std::string path_, temporary_;
  int width_;
  int descriptor_ = -1;
  int64_t tokens_ = 0;
  std::vector<uint16_t> narrow_;
  XXH3_state_t* hash_ = XXH3_createState();
};

ShardWriter::ShardWriter(std::string dir, std::string name, ShardsInfo info, int64_t shard_tokens)
    : folder_(std::move(dir)), name_(std::move(name)), info_(std::move(info)), shard_tokens_(shard_tokens) {}

ShardWriter::~ShardWriter() = default;

StatusOr<std::unique_ptr<ShardWriter>> ShardWriter::Create(const std::string& dir, const std::string& name,
                                                           ShardsInfo info, int64_t shard_tokens) {
  CHECK(shard_tokens > 0 && shard_tokens <= kShardTokens);
  if (name.empty() || name.find('/') != std::string::npos) {
    return InvalidArgument("the shards' name '", name, "' must be the start of a file name, without folders");
  }
  RETURN_IF_ERROR(MakeDirectories(dir));
  std::vector<std::string> ours;
  const std::string sidecar = JoinPath(dir, "shards.json");
  if (IsRegularFile(sidecar)) {
    ASSIGN_OR_RETURN(const std::string text, ReadFileToString(sidecar, int64_t{64} << 20));
    ASSIGN_OR_RETURN(const ShardsInfo old, ParseShardsJson(text, sidecar));
    for (const auto& [split, about] : old.splits) {
      for (const auto& file : about.files) ours.push_back(file.name);
    }
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> present, ListDirectory(dir));
  for (const std::string& file : present) {
    const std::string bin = SplitOfName(file, ".bin"), npy = SplitOfName(file, ".npy");
    const bool shard = bin == "train" || bin == "val" || npy == "train" || npy == "val";
    if (shard && !std::count(ours.begin(), ours.end(), file)) {
      return absl::AlreadyExistsError(
          Cat("'", JoinPath(dir, file),
              "' is a shard that this program did not write: move it away or choose another "
              "folder, or training would read both"));
    }
  }
  // shards.json goes first: without it what is left of the old shards is never taken for a whole set of ours.
  RETURN_IF_ERROR(RemoveAll(sidecar));
  for (const std::string& file : ours) RETURN_IF_ERROR(RemoveAll(JoinPath(dir, file)));
  info.splits.clear();
  return std::unique_ptr<ShardWriter>(new ShardWriter(dir, name, std::move(info), shard_tokens));
}

Status ShardWriter::Add(const std::string& split, std::span<const int32_t> tokens) {
  if (split != split_) {
    RETURN_IF_ERROR(CloseShard());
    CHECK(info_.splits[split].files.empty(), "the split ", split, " was ended before");
    split_ = split;
  }
  while (!tokens.empty()) {
    if (shard_ == nullptr) {
      char number[32];
      std::snprintf(number, sizeof number, "_%06zu.bin", info_.splits[split].files.size());
      const std::string name = Cat(name_, "_", split, number);
      info_.splits[split].files.push_back({name});
      shard_ = std::make_unique<OpenShardFile>(JoinPath(folder_, name), info_.vocab_size > 65536 ? 4 : 2);
      RETURN_IF_ERROR(shard_->Create());
    }
    const size_t room = static_cast<size_t>(shard_tokens_ - shard_->tokens());
    const std::span<const int32_t> part = tokens.first(std::min(room, tokens.size()));
    RETURN_IF_ERROR(shard_->Append(part));
    tokens = tokens.subspan(part.size());
    if (shard_->tokens() == shard_tokens_) RETURN_IF_ERROR(CloseShard());
  }
  return OkStatus();
}

Status ShardWriter::CloseShard() {
  if (shard_ == nullptr) return OkStatus();
  ShardsInfo::Split& split = info_.splits[split_];
  split.files.back().tokens = shard_->tokens();
  split.tokens += shard_->tokens();
  RETURN_IF_ERROR(shard_->Close(&split.files.back().xxh3));
  shard_.reset();
  return OkStatus();
}

Status ShardWriter::Finish() {
  RETURN_IF_ERROR(CloseShard());
  return AtomicWriteFile(JoinPath(folder_, "shards.json"), ShardsJson(info_));
}

}  // namespace gptc
