#include "runtime/formats/xxh.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "ir/base/check.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

constexpr int64_t kMaxChecksumsBytes = 16 << 20;
constexpr int kMaxDepth = 16;

// The regular files below folder/prefix, as paths from folder, without checksums.xxh at its top.
Status ListFiles(const std::string& folder, const std::string& prefix, int depth, std::vector<std::string>& files) {
  if (depth > kMaxDepth) return InvalidArgument("'", folder, "' has folders nested more than ", kMaxDepth, " deep");
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(JoinPath(folder, prefix)));
  for (const std::string& name : names) {
    std::string path = prefix.empty() ? name : Cat(prefix, "/", name);
    std::string full = JoinPath(folder, path);
    if (IsDirectory(full)) {
      RETURN_IF_ERROR(ListFiles(folder, path, depth + 1, files));
    } else if (path != kChecksumsFile) {
      files.push_back(path);
    }
  }
  return OkStatus();
}

// "<16 hex>  name" to a name and digest.
bool ParseLine(std::string_view line, std::pair<std::string, uint64_t>& entry) {
  constexpr size_t kDigits = 16;
  if (line.size() <= kDigits + 2 || (line.substr(kDigits, 2) != "  " && line.substr(kDigits, 2) != " *")) return false;
  auto [end, error] = std::from_chars(line.data(), line.data() + kDigits, entry.second, 16);
  entry.first = line.substr(kDigits + 2);
  return error == std::errc() && end == line.data() + kDigits && entry.first.find('\0') == std::string::npos;
}

}  // namespace

uint64_t XxhOf(const void* data, size_t size) { return XXH64(data, size, 0); }

StatusOr<uint64_t> XxhOfFile(const std::string& path) {
  struct Free {
    void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
  };
  const std::unique_ptr<XXH64_state_t, Free> state(XXH64_createState());
  CHECK(state != nullptr, "no memory for a checksum");
  XXH64_reset(state.get(), 0);
  // Read and not mapped: pages of a mapped file count as the process's memory.
  RETURN_IF_ERROR(ForEachPiece(path, [&](const void* data, size_t size) { XXH64_update(state.get(), data, size); }));
  return XXH64_digest(state.get());
}

std::string XxhText(uint64_t digest) { return absl::StrFormat("%016x", digest); }

Status WriteChecksums(const std::string& folder) {
  std::vector<std::string> files;
  RETURN_IF_ERROR(ListFiles(folder, "", 0, files));
  std::string text;
  for (const std::string& file : files) {
    if (file.find_first_of("\n\\") != std::string::npos)
      return InvalidArgument("'", file, "' in '", folder, "' cannot be listed: rename it");
    ASSIGN_OR_RETURN(uint64_t digest, XxhOfFile(JoinPath(folder, file)));
    text += Cat(XxhText(digest), "  ", file, "\n");
  }
  ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(JoinPath(folder, kChecksumsFile)));
  RETURN_IF_ERROR(writer.Append(text));
  return writer.Finish();
}

Status VerifyChecksums(const std::string& folder) {
  std::string path = JoinPath(folder, kChecksumsFile);
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(path, kMaxChecksumsBytes));
  std::map<std::string, uint64_t> listed;
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::pair<std::string, uint64_t> entry;
    ++number;
    if (!ParseLine(std::string_view(text).substr(at, end - at), entry)) {
      return DataLoss("'", path, "':", number,
                      ": malformed line; '<16 hex digits>  <file>' is expected: the file is damaged");
    }
    if (!listed.insert(std::move(entry)).second) return DataLoss("'", path, "':", number, ": a file is listed twice");
    at = end + 1;
  }
  std::vector<std::string> files;
  RETURN_IF_ERROR(ListFiles(folder, "", 0, files));
  for (const std::string& file : files) {
    auto found = listed.find(file);
    if (found == listed.end()) {
      return DataLoss("'", JoinPath(folder, file), "' is not listed in ", kChecksumsFile,
                      ": it does not belong there, or ", kChecksumsFile, " is damaged");
    }
    ASSIGN_OR_RETURN(uint64_t digest, XxhOfFile(JoinPath(folder, file)));
    if (digest != found->second) {
      return DataLoss("'", JoinPath(folder, file), "' is damaged: its checksum is ", XxhText(digest), ", ",
                      kChecksumsFile, " says ", XxhText(found->second));
    }
    listed.erase(found);
  }
  if (!listed.empty())
    return DataLoss("'", JoinPath(folder, listed.begin()->first), "' is missing: ", kChecksumsFile, " lists it");
  return OkStatus();
}

}  // namespace gptc
