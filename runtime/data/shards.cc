#include "runtime/data/shards.h"

#include <algorithm>
#include <cstring>

#include "ir/base/check.h"
#include "runtime/data/shard_format.h"
#include "xxhash.h"

namespace gptc {
namespace {

constexpr int64_t kScannedWhole = int64_t{16} << 20;  // tokens of a set that Validate looks through
constexpr int64_t kHashedWhole = int64_t{256} << 20;  // bytes of a split whose checksums are verified when it is opened

template <typename T>
T Load(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

// Copies ids and gives the largest as an unsigned number (so a negative one is larger than any vocabulary).
template <typename T>
uint64_t CopyIds(const std::byte* data, std::span<int32_t> out) {
  uint64_t largest = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const uint64_t id = Load<T>(data + i * sizeof(T));
    largest = std::max(largest, id);
    out[i] = static_cast<int32_t>(id);
  }
  return largest;
}

}  // namespace

StatusOr<ShardSet> ShardSet::Open(const std::string& dir, const std::string& split) {
  ShardSet set;
  set.folder_ = dir;
  set.split_ = split;
  ASSIGN_OR_RETURN(const std::vector<std::string> all, ListDirectory(dir));
  std::vector<std::string> names;
  const auto take = [&](auto matches) {
    if (names.empty()) std::copy_if(all.begin(), all.end(), std::back_inserter(names), matches);
  };
  take([&](const std::string& name) { return SplitOfName(name, ".bin") == split; });
  take([&](const std::string& name) { return SplitOfName(name, ".npy") == split; });
  const bool nanogpt = names.empty();
  take([&](const std::string& name) { return name == split + ".bin"; });
  if (names.empty()) {
    return NotFound("no ", split, " shards in '", dir, "': files named like {name}_", split,
                    "_000000.bin (or .npy), or ", split, ".bin, are expected; gptrun tokenize makes them");
  }
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(Shard shard, OpenShard(JoinPath(dir, name), nanogpt));
    shard.first = set.tokens_;
    set.tokens_ += shard.tokens;
    set.shards_.push_back(std::move(shard));
  }
  if (const std::string path = JoinPath(dir, "shards.json"); IsRegularFile(path)) {
    ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, int64_t{64} << 20));
    ASSIGN_OR_RETURN(set.info_, ParseShardsJson(text, path));
    RETURN_IF_ERROR(set.CheckAgainstInfo(names));
  }
  return set;
}

StatusOr<ShardSet::Shard> ShardSet::OpenShard(const std::string& path, bool headerless) {
  Shard shard;
  shard.path = path;
  ASSIGN_OR_RETURN(shard.file, MappedFile::Open(path));
  const int64_t size = static_cast<int64_t>(shard.file.size());
  if (path.ends_with(".npy")) return ReadNpyHeader(std::move(shard));
  const int32_t magic = size >= 4 ? Load<int32_t>(shard.file.data()) : 0;
  const bool known = magic == kShardMagic16 || magic == kShardMagic32;
  if (headerless && !known) {
    if (size == 0 || size % 2 != 0) {
      return DataLoss("'", path, "' has ", size, " bytes, which are no u16 tokens: it is damaged or cut short");
    }
    shard.tokens = size / 2;
    shard.data = shard.file.data();
    return shard;
  }
  if (size < kShardHeader) {
    return DataLoss("'", path, "' has ", size,
                    " bytes, fewer than a shard's header of 1,024: it is damaged or cut short");
  }
  if (!known) {
    return DataLoss("'", path, "' is no token shard: it starts with ", magic, " where ", kShardMagic16, " (u16) or ",
                    kShardMagic32, " (u32) is expected");
  }
  const int32_t version = Load<int32_t>(shard.file.data() + 4);
  const int32_t wanted = magic == kShardMagic16 ? kShardVersion16 : kShardVersion32;
  if (version != wanted) {
    return DataLoss("'", path, "' has shard version ", version, "; only ", wanted, " is known for its kind");
  }
  shard.width = magic == kShardMagic16 ? 2 : 4;
  shard.tokens = Load<int32_t>(shard.file.data() + 8);
  const int64_t expected = kShardHeader + shard.width * shard.tokens;
  if (shard.tokens < 0 || size != expected) {
    return DataLoss("'", path, "' has ", Grouped(size), " bytes, but its header says ", Grouped(shard.tokens),
                    " tokens, which take ", Grouped(expected), ": it is damaged or cut short");
  }
  shard.data = shard.file.data() + kShardHeader;
  return shard;
}

// .npy: 93 'NUMPY', version, u16 (version 1) or u32 length of a header such as
// {'descr': '<u2', 'fortran_order': False, 'shape': (1000,), }.
StatusOr<ShardSet::Shard> ShardSet::ReadNpyHeader(Shard shard) {
  const auto bad = [&](std::string_view what) { return DataLoss("'", shard.path, "' ", what); };
  const std::string_view bytes(reinterpret_cast<const char*>(shard.file.data()), shard.file.size());
  if (bytes.size() < 12 || !bytes.starts_with("\x93NUMPY")) return bad("is no .npy file");
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) return bad("is of an unknown .npy version");
  const size_t start = version == 1 ? 10 : 12;
  const size_t length = version == 1 ? Load<uint16_t>(shard.file.data() + 8) : Load<uint32_t>(shard.file.data() + 8);
  if (length > bytes.size() - start) return bad("ends within its header: it is cut short");
  const std::string_view header = bytes.substr(start, length);
  const auto after = [&](std::string_view key) {
    const size_t at = header.find(key);
    return at == std::string_view::npos ? std::string_view() : header.substr(at + key.size());
  };
  const std::string_view type = after("'descr': ");
  if (type.starts_with("'<u2'")) {
    shard.width = 2;
  } else if (type.starts_with("'<u4'") || type.starts_with("'<i4'")) {
    shard.width = 4;
  } else if (type.starts_with("'<i8'")) {
    shard.width = 8;
  } else {
    return bad("must hold elements of type u2, u4, i4 or i8");
  }
  std::string_view shape = after("'shape': (");
  uint64_t count = 0;
  const size_t digits = std::min(shape.find_first_not_of("0123456789"), shape.size());
  for (char c : shape.substr(0, std::min<size_t>(digits, 18))) count = 10 * count + static_cast<uint64_t>(c - '0');
  if (digits == 0 || digits > 18 || !shape.substr(digits).starts_with(",)")) return bad("must have one dimension");
  const size_t data = bytes.size() - start - length;
  if (data % static_cast<size_t>(shard.width) != 0 || data / static_cast<size_t>(shard.width) != count) {
    return bad(Cat("has ", data, " bytes of data, but its header says ", count, " elements of ", shard.width,
                   " bytes: it is damaged or cut short"));
  }
  shard.tokens = static_cast<int64_t>(count);
  shard.data = shard.file.data() + start + length;
  return shard;
}

Status ShardSet::CheckAgainstInfo(const std::vector<std::string>& names) const {
  const std::string where = JoinPath(folder_, "shards.json");
  const auto split = info_->splits.find(split_);
  const std::vector<ShardsInfo::File> none;
  const std::vector<ShardsInfo::File>& files = split == info_->splits.end() ? none : split->second.files;
  int64_t bytes = 0;
  for (const Shard& shard : shards_) bytes += shard.tokens * shard.width;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto file = std::find_if(files.begin(), files.end(), [&](const auto& f) { return f.name == names[i]; });
    const Shard& shard = shards_[i];
    if (file == files.end()) {
      return InvalidArgument("'", shard.path, "' is not among the shards that '", where,
                             "' names: move it away, or remove shards.json to read the folder as it is");
    }
    if (file->tokens != shard.tokens) {
      return DataLoss("'", shard.path, "' has ", Grouped(shard.tokens), " tokens, but '", where, "' says ",
                      Grouped(file->tokens));
    }
    if (file->xxh3.empty() || bytes > kHashedWhole) continue;
    const std::string hash = HashText(XXH3_64bits(shard.data, static_cast<size_t>(shard.tokens * shard.width)));
    if (hash != file->xxh3) {
      return DataLoss("'", shard.path, "' is damaged: the checksum of its tokens is ", hash, ", but '", where,
                      "' says ", file->xxh3);
    }
  }
  for (const ShardsInfo::File& file : files) {
    if (!std::count(names.begin(), names.end(), file.name)) {
      return NotFound("'", JoinPath(folder_, file.name), "' is missing: '", where, "' names it");
    }
  }
  return OkStatus();
}

Status ShardSet::Validate(int64_t vocab) {
  vocab_ = std::min(vocab_, vocab);
  if (info_ && info_->vocab_size > vocab) {
    return InvalidArgument("the shards in '", folder_, "' are of a vocabulary of ", Grouped(info_->vocab_size),
                           " tokens (shards.json), but the model has only ", Grouped(vocab),
                           ": tokenize the text with the model's tokenizer, or compile a model for this vocabulary");
  }
  const int64_t end = tokens_ <= kScannedWhole ? tokens_ : kScannedWhole / 16;
  std::vector<int32_t> block(1 << 16);
  for (int64_t at = 0; at < end; at += static_cast<int64_t>(block.size())) {
    const int64_t size = std::min(end - at, static_cast<int64_t>(block.size()));
    RETURN_IF_ERROR(Read(at, std::span(block).first(static_cast<size_t>(size))));
  }
  return OkStatus();
}

Status ShardSet::Read(int64_t first, std::span<int32_t> out) const {
  CHECK(first >= 0 && first + static_cast<int64_t>(out.size()) <= tokens_, "tokens ", first, " + ", out.size(), " of ",
        tokens_);
  auto shard = std::upper_bound(shards_.begin(), shards_.end(), first,
                                [](int64_t at, const Shard& s) { return at < s.first + s.tokens; });
  while (!out.empty()) {
    const int64_t at = first - shard->first;
    const size_t count = std::min(out.size(), static_cast<size_t>(shard->tokens - at));
    RETURN_IF_ERROR(ReadWithin(*shard, at, out.first(count)));
    out = out.subspan(count);
    first += static_cast<int64_t>(count);
    ++shard;
  }
  return OkStatus();
}

Status ShardSet::ReadWithin(const Shard& shard, int64_t at, std::span<int32_t> out) const {
  const std::byte* data = shard.data + at * shard.width;
  const uint64_t limit = static_cast<uint64_t>(vocab_);
  const uint64_t largest = shard.width == 2   ? CopyIds<uint16_t>(data, out)
                           : shard.width == 4 ? CopyIds<uint32_t>(data, out)
                                              : CopyIds<uint64_t>(data, out);
  if (largest < limit) return OkStatus();
  const auto id = [&](size_t i) -> uint64_t {
    const std::byte* place = data + i * static_cast<size_t>(shard.width);
    return shard.width == 2 ? Load<uint16_t>(place) : shard.width == 4 ? Load<uint32_t>(place) : Load<uint64_t>(place);
  };
  size_t bad = 0;
  while (id(bad) < limit) ++bad;
  return InvalidArgument("'", shard.path, "' is of another vocabulary or damaged: its token ",
                         Grouped(at + static_cast<int64_t>(bad)), " is ", id(bad), ", but the model's vocabulary has ",
                         Grouped(vocab_), "; tokenize the text with the model's tokenizer");
}

std::optional<double> ShardSet::bytes_per_token() const {
  if (!info_) return std::nullopt;
  const auto split = info_->splits.find(split_);
  if (split == info_->splits.end() || split->second.tokens == 0 || split->second.text_bytes == 0) return std::nullopt;
  return static_cast<double>(split->second.text_bytes) / static_cast<double>(split->second.tokens);
}

}  // namespace gptc
