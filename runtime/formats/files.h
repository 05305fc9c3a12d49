// Reading and writing files whole: the one place where errno becomes a Status.
#ifndef GPTC_RUNTIME_FORMATS_FILES_H_
#define GPTC_RUNTIME_FORMATS_FILES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

// The whole of a file (or pipe). More than `limit` bytes is InvalidArgument, so that a wrong path never fills memory.
StatusOr<std::string> ReadFileToString(const std::string& path, int64_t limit = int64_t{1} << 31);

// Hands the bytes of a file over from front to back, in pieces of at most 1 MiB.
Status ForEachPiece(const std::string& path, const std::function<void(const void* data, size_t size)>& take);

// A read-only view of a file's bytes. The file must not shrink while it is mapped; ours are replaced by rename, never
// cut.
class MappedFile {
 public:
  static StatusOr<MappedFile> Open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Empty for an empty file. Aligned to a page.
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Writes all of `size` bytes to `fd`, however many calls it takes; `path` is for the message.
Status WriteAll(int fd, const void* data, size_t size, std::string_view path);

// A file that is written from front to back. Finish flushes it to the disk and closes it; without Finish the destructor
// closes the file and says nothing.
class FileWriter {
 public:
  // Creates `path`, or empties it.
  static StatusOr<FileWriter> Create(const std::string& path);
  FileWriter(FileWriter&& other) noexcept { *this = std::move(other); }
  FileWriter& operator=(FileWriter&& other) noexcept;
  ~FileWriter();

  Status Append(const void* data, size_t size);
  Status Append(std::string_view text) { return Append(text.data(), text.size()); }
  Status Finish();

 private:
  FileWriter() = default;
  int fd_ = -1;
  std::string path_;
};

// Puts `text` at `path` in one step: a reader, or a run that is killed, sees the old file or the whole new one.
Status AtomicWriteFile(const std::string& path, std::string_view text);
// Makes the symbolic link `path` point to `target` in one step, replacing what link was there.
Status AtomicSymlink(const std::string& target, const std::string& path);

// Flushes a folder's list of names to the disk: a rename is durable only after this.
Status SyncDirectory(const std::string& path);
// The folder with all its parents; no error where it exists.
Status MakeDirectories(const std::string& path);
// Removes a file, link or folder with all that it holds; no error where there is nothing.
Status RemoveAll(const std::string& path);
Status RenamePath(const std::string& from, const std::string& to);

// The names in a folder, sorted, without "." and "..".
StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);
// Both follow symbolic links.
bool IsDirectory(const std::string& path);
bool IsRegularFile(const std::string& path);
// "a/b" of "a" and "b"; "b" alone where it is absolute or a is empty.
std::string JoinPath(std::string_view folder, std::string_view name);

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_FILES_H_
