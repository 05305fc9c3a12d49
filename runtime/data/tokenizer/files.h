// Files as the data and tokenizer code reads and writes them: mapped into memory, or written whole and then renamed.
//
// Errors: a missing file is NotFound, a folder in place of a file InvalidArgument, any other failure of the system
// Internal; each names the path.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_FILES_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_FILES_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

// The bytes of a file, read-only. A regular file is mapped (so a text or shard larger than the memory can be read);
// anything else (a pipe, a terminal) is read to its end into memory. Movable; the bytes stay where they are when moved.
class InputFile {
 public:
  // `path` "-" is the standard input.
  static StatusOr<InputFile> Open(const std::string& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  std::string_view bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  InputFile() = default;
  void Release();

  std::string path_;
  std::string_view bytes_;
  void* mapping_ = nullptr;
  char* memory_ = nullptr;  // from malloc, where not mapped
};

// Writes `content` to `path` + ".tmp", syncs it and renames it to `path`: a reader sees the old file or the whole new
// one.
Status WriteFileAtomically(const std::string& path, std::string_view content);
// Writes all of `content` to an open file descriptor; `path` is for the message.
Status WriteAll(int descriptor, std::string_view content, const std::string& path);
// Makes the folder and those above it; what exists already is fine.
Status MakeFolders(const std::string& path);
bool IsFolder(const std::string& path);
bool FileExists(const std::string& path);
// The names (not paths) in a folder, sorted. NotFound where there is no such folder.
StatusOr<std::vector<std::string>> ListFolder(const std::string& path);

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_FILES_H_
