#include "runtime/formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>

#include "nlohmann/json.hpp"

namespace gptc {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensor data is used as it lies in the file");

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr size_t kMaxRank = 16;
constexpr int64_t kMaxIndexBytes = 100'000'000;

// A non-negative JSON integer that fits 63 bits.
bool ReadSize(const Json& value, int64_t& size) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return false;
  size = value.get<int64_t>();
  return size >= 0;
}

// One entry of the header, its offsets into the data part.
struct Entry {
  std::string name;
  StoredTensor view;
  int64_t begin = 0;
  int64_t end = 0;
};

StatusOr<Entry> ReadEntry(const std::string& name, const Json& json) {
  auto bad = [&](const auto&... parts) { return DataLoss("tensor '", name, "': ", parts...); };
  if (!json.is_object()) return bad("its entry in the header is not an object");
  Entry entry;
  entry.name = name;
  auto dtype = json.find("dtype");
  if (dtype == json.end() || !dtype->is_string()) return bad("dtype is missing");
  auto type = ElementTypeNamed(dtype->get_ref<const std::string&>());
  if (!type)
    return bad("dtype ", dtype->get_ref<const std::string&>(),
               " is not supported (F64 F32 BF16 F16 I64 I32 U16 U8 BOOL are)");
  entry.view.type = *type;
  auto shape = json.find("shape");
  if (shape == json.end() || !shape->is_array() || shape->size() > kMaxRank)
    return bad("shape is missing or not a list");
  for (const Json& dimension : *shape) {
    int64_t size = 0;
    if (!ReadSize(dimension, size)) return bad("a dimension of its shape is not a size");
    entry.view.shape.push_back(size);
  }
  auto offsets = json.find("data_offsets");
  if (offsets == json.end() || !offsets->is_array() || offsets->size() != 2 || !ReadSize((*offsets)[0], entry.begin) ||
      !ReadSize((*offsets)[1], entry.end) || entry.end < entry.begin) {
    return bad("data_offsets are missing or not [begin, end]");
  }
  auto bytes = CheckedBytes(entry.view.shape, *type);
  if (!bytes || *bytes != entry.end - entry.begin) {
    return bad("data_offsets span ", entry.end - entry.begin, " bytes, but its dtype and shape need ",
               bytes ? Cat(*bytes) : "too many");
  }
  return entry;
}

// The entries of a file, in the order of their data, checked against the size of the data part.
StatusOr<std::vector<Entry>> ReadHeader(std::span<const std::byte> file, std::map<std::string, std::string>& metadata,
                                        std::span<const std::byte>& data) {
  uint64_t header_size = 0;
  if (file.size() < sizeof(header_size)) return DataLoss("too short for a safetensors file (", file.size(), " bytes)");
  std::memcpy(&header_size, file.data(), sizeof(header_size));
  if (header_size > kMaxHeader || header_size > file.size() - sizeof(header_size)) {
    return DataLoss("not a safetensors file, or cut off: its header would have ", header_size, " of ", file.size(),
                    " bytes");
  }
  const char* text = reinterpret_cast<const char*>(file.data()) + sizeof(header_size);
  Json header = Json::parse(text, text + header_size, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return DataLoss("the safetensors header is not a JSON object");
  data = file.subspan(sizeof(header_size) + header_size);
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") {
      if (!json.is_object()) return DataLoss("__metadata__ is not an object");
      for (const auto& [key, value] : json.items()) {
        if (!value.is_string()) return DataLoss("__metadata__ holds '", key, "', which is not a string");
        metadata[key] = value.get<std::string>();
      }
      continue;
    }
    ASSIGN_OR_RETURN(Entry entry, ReadEntry(name, json));
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  int64_t at = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != at)
      return DataLoss("tensor '", entry.name, "' begins at byte ", entry.begin, " of the data; byte ", at,
                      " was expected");
    at = entry.end;
  }
  if (static_cast<uint64_t>(at) != data.size()) {
    return DataLoss("the tensors have ", at, " bytes, but the file holds ", data.size(), ": it is damaged or cut off");
  }
  return entries;
}

// The shards that an index names, each once.
StatusOr<std::set<std::string>> ReadIndex(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(path, kMaxIndexBytes));
  Json index = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return DataLoss("'", path, "': no weight_map in it");
  }
  std::set<std::string> shards;
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!file.is_string()) return DataLoss("'", path, "': the file of tensor '", name, "' is not a name");
    const auto& shard = file.get_ref<const std::string&>();
    if (shard.empty() || shard.find('/') != std::string::npos || shard == "..") {
      return DataLoss("'", path, "': '", shard, "' is not a file name beside the index");
    }
    shards.insert(shard);
  }
  return shards;
}

}  // namespace

Status Safetensors::Add(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  std::span<const std::byte> data;
  auto entries = ReadHeader(file.bytes(), metadata_, data);
  if (!entries.ok()) return Annotate(entries.status(), Cat("'", path, "'"));
  for (Entry& entry : *entries) {
    entry.view.bytes = data.subspan(static_cast<size_t>(entry.begin), static_cast<size_t>(entry.end - entry.begin));
    if (!tensors_.emplace(entry.name, std::move(entry.view)).second) {
      return DataLoss("'", path, "': tensor '", entry.name, "' is in another shard too");
    }
  }
  files_.push_back(std::move(file));
  return OkStatus();
}

StatusOr<Safetensors> Safetensors::OpenFile(const std::string& path) {
  Safetensors result;
  RETURN_IF_ERROR(result.Add(path));
  return result;
}

StatusOr<Safetensors> Safetensors::Open(const std::string& path) {
  std::string index = path;
  if (IsDirectory(path)) {
    std::string single = JoinPath(path, "model.safetensors");
    if (IsRegularFile(single)) return OpenFile(single);
    index = JoinPath(path, "model.safetensors.index.json");
    if (!IsRegularFile(index))
      return NotFound("no model.safetensors and no model.safetensors.index.json in '", path, "'");
  } else if (!path.ends_with(".json")) {
    return OpenFile(path);
  }
  ASSIGN_OR_RETURN(std::set<std::string> shards, ReadIndex(index));
  size_t slash = index.find_last_of('/');
  std::string folder = slash == std::string::npos ? "" : index.substr(0, slash + 1);
  Safetensors result;
  for (const std::string& shard : shards) RETURN_IF_ERROR(result.Add(folder + shard));
  return result;
}

const StoredTensor* Safetensors::Find(std::string_view name) const {
  auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Status WriteSafetensors(const std::string& path, std::vector<TensorToWrite> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    int a_size = SizeOf(a.type), b_size = SizeOf(b.type);
    return a_size != b_size ? a_size > b_size : a.name < b.name;
  });
  // Written by hand, so that the entries stand in the order of the data.
  std::string header = R"({"__metadata__":{"format":"pt"})";
  std::set<std::string_view> names;
  std::vector<int64_t> sizes;
  int64_t at = 0;
  for (const TensorToWrite& tensor : tensors) {
    auto bytes = CheckedBytes(tensor.shape, tensor.type);
    int64_t end = 0;
    if (!bytes || __builtin_add_overflow(at, *bytes, &end))
      return InvalidArgument("tensor '", tensor.name, "' is too large to write");
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return InvalidArgument("'", path, "': a tensor cannot be named '", tensor.name,
                             "', or there are two of that name");
    }
    std::string name = Json(tensor.name).dump(-1, ' ', false, Json::error_handler_t::replace);
    header += Cat(",", name, R"(:{"dtype":")", NameOf(tensor.type), R"(","shape":[)", Join(tensor.shape, ","),
                  R"(],"data_offsets":[)", at, ",", end, "]}");
    sizes.push_back(*bytes);
    at = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kMaxHeader)
    return InvalidArgument("'", path, "': the names of ", tensors.size(), " tensors are too long for one file");
  ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(path));
  uint64_t header_size = header.size();
  RETURN_IF_ERROR(writer.Append(&header_size, sizeof(header_size)));
  RETURN_IF_ERROR(writer.Append(header));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorToWrite& tensor = tensors[i];
    if (sizes[i] == 0) continue;
    if (tensor.data != nullptr) {
      RETURN_IF_ERROR(writer.Append(tensor.data, static_cast<size_t>(sizes[i])));
      continue;
    }
    ASSIGN_OR_RETURN(std::vector<std::byte> made, tensor.make());
    if (static_cast<int64_t>(made.size()) != sizes[i]) {
      return Failure("tensor '", tensor.name, "' was made with ", made.size(), " bytes; ", sizes[i], " were announced");
    }
    RETURN_IF_ERROR(writer.Append(made.data(), made.size()));
  }
  return writer.Finish();
}

}  // namespace gptc
