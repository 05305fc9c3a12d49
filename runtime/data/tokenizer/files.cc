#include "runtime/data/tokenizer/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace gptc {
namespace {

struct Descriptor {
  int value = -1;
  ~Descriptor() {
    if (value > STDIN_FILENO) close(value);
  }
};

// Reads to the end; `*memory` is the caller's to free, also after an error.
Status ReadToEnd(int descriptor, const std::string& path, char** memory, size_t* size) {
  size_t capacity = 0;
  for (;;) {
    if (*size == capacity) {
      capacity = std::max<size_t>(1 << 16, 2 * capacity);
      char* larger = static_cast<char*>(std::realloc(*memory, capacity));
      if (larger == nullptr) return OutOfMemory("no memory to hold '", path, "' (", HumanBytes(capacity), ")");
      *memory = larger;
    }
    const ssize_t got = read(descriptor, *memory + *size, capacity - *size);
    if (got == 0) return OkStatus();
    if (got > 0) {
      *size += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "read", path);
    }
  }
}

}  // namespace

StatusOr<InputFile> InputFile::Open(const std::string& path) {
  InputFile file;
  file.path_ = path;
  Descriptor descriptor{path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (descriptor.value < 0) return ErrnoStatus(errno, "open", path);
  struct stat about;
  if (fstat(descriptor.value, &about) != 0) return ErrnoStatus(errno, "read", path);
  if (S_ISDIR(about.st_mode)) return InvalidArgument("'", path, "' is a folder where a file is expected");
  if (S_ISREG(about.st_mode) && about.st_size > 0 && path != "-") {
    const size_t size = static_cast<size_t>(about.st_size);
    void* mapping = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.value, 0);
    if (mapping == MAP_FAILED) return ErrnoStatus(errno, "map", path);
    file.mapping_ = mapping;
    file.bytes_ = {static_cast<const char*>(mapping), size};
    return file;
  }
  size_t size = 0;
  RETURN_IF_ERROR(ReadToEnd(descriptor.value, path, &file.memory_, &size));
  file.bytes_ = {file.memory_, size};
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      mapping_(std::exchange(other.mapping_, nullptr)),
      memory_(std::exchange(other.memory_, nullptr)) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  if (this == &other) return *this;
  Release();
  path_ = std::move(other.path_);
  bytes_ = std::exchange(other.bytes_, {});
  mapping_ = std::exchange(other.mapping_, nullptr);
  memory_ = std::exchange(other.memory_, nullptr);
  return *this;
}

InputFile::~InputFile() { Release(); }

void InputFile::Release() {
  if (mapping_ != nullptr) munmap(mapping_, bytes_.size());
  std::free(memory_);
}

Status WriteAll(int descriptor, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t wrote = write(descriptor, content.data(), content.size());
    if (wrote >= 0) {
      content.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "write", path);
    }
  }
  return OkStatus();
}

Status WriteFileAtomically(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  const int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return ErrnoStatus(errno, "create", temporary);
  Status status = WriteAll(descriptor, content, temporary);
  if (status.ok() && fsync(descriptor) != 0) status = ErrnoStatus(errno, "write", temporary);
  if (close(descriptor) != 0 && status.ok()) status = ErrnoStatus(errno, "write", temporary);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = ErrnoStatus(errno, "rename to", path);
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

Status MakeFolders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return ErrnoStatus(error.value(), "make the folder", path);
  if (!IsFolder(path)) return InvalidArgument("'", path, "' is a file where a folder is expected");
  return OkStatus();
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool FileExists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) && !std::filesystem::is_directory(path, error);
}

StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator it(path, error);
  if (error) return ErrnoStatus(error.value(), "read the folder", path);
  std::vector<std::string> names;
  for (; it != std::filesystem::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
    if (error) return ErrnoStatus(error.value(), "read the folder", path);
  }
  if (error) return ErrnoStatus(error.value(), "read the folder", path);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace gptc
