#include "runtime/formats/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace gptc {
namespace {

// Linux writes at most 0x7ffff000 bytes a call.
constexpr size_t kMostPerCall = size_t{1} << 30;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string ParentOf(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string TemporaryBeside(const std::string& path) { return Cat(path, ".", getpid(), ".tmp"); }

}  // namespace

StatusOr<std::string> ReadFileToString(const std::string& path, int64_t limit) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "read", path);
  if (S_ISREG(info.st_mode) && info.st_size > limit) {
    return InvalidArgument("'", path, "' has ", Grouped(info.st_size), " bytes, more than the ", Grouped(limit),
                           " that are read here");
  }
  std::string text;
  if (S_ISREG(info.st_mode)) text.reserve(static_cast<size_t>(info.st_size));
  char buffer[1 << 16];
  while (true) {
    ssize_t count = read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "read", path);
    if (count == 0) return text;
    if (static_cast<int64_t>(text.size()) + count > limit) {
      return InvalidArgument("'", path, "' has more than the ", Grouped(limit), " bytes that are read here");
    }
    text.append(buffer, static_cast<size_t>(count));
  }
}

Status ForEachPiece(const std::string& path, const std::function<void(const void* data, size_t size)>& take) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus(errno, "open", path);
  std::vector<char> piece(1 << 20);
  while (true) {
    ssize_t count = read(file.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "read", path);
    if (count == 0) return OkStatus();
    take(piece.data(), static_cast<size_t>(count));
  }
}

StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "read", path);
  if (S_ISDIR(info.st_mode)) return InvalidArgument("'", path, "' is a folder; a file is expected");
  if (!S_ISREG(info.st_mode)) return InvalidArgument("'", path, "' is not a regular file");
  MappedFile mapped;
  if (info.st_size == 0) return mapped;
  void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return ErrnoStatus(errno, "map", path);
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.size_ = static_cast<size_t>(info.st_size);
  return mapped;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

Status WriteAll(int fd, const void* data, size_t size, std::string_view path) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t count = write(fd, at, std::min(size, kMostPerCall));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "write", path);
    at += count;
    size -= static_cast<size_t>(count);
  }
  return OkStatus();
}

StatusOr<FileWriter> FileWriter::Create(const std::string& path) {
  FileWriter writer;
  writer.path_ = path;
  writer.fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (writer.fd_ < 0) return ErrnoStatus(errno, "create", path);
  return writer;
}

FileWriter& FileWriter::operator=(FileWriter&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) close(fd_);
}

Status FileWriter::Append(const void* data, size_t size) { return WriteAll(fd_, data, size, path_); }

Status FileWriter::Finish() {
  int fd = std::exchange(fd_, -1);
  int synced = fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;  // a pipe or device cannot be synced
  if (close(fd) != 0) return ErrnoStatus(errno, "write", path_);
  return synced == 0 ? OkStatus() : ErrnoStatus(synced, "write", path_);
}

Status AtomicWriteFile(const std::string& path, std::string_view text) {
  std::string temporary = TemporaryBeside(path);
  auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(temporary));
    RETURN_IF_ERROR(writer.Append(text));
    RETURN_IF_ERROR(writer.Finish());
    return RenamePath(temporary, path);
  };
  if (Status status = write(); !status.ok()) {
    unlink(temporary.c_str());
    return Annotate(status, Cat("writing '", path, "'"));
  }
  return SyncDirectory(ParentOf(path));
}

Status AtomicSymlink(const std::string& target, const std::string& path) {
  std::string temporary = TemporaryBeside(path);
  unlink(temporary.c_str());
  if (symlink(target.c_str(), temporary.c_str()) != 0) return ErrnoStatus(errno, "create the link", path);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    Status status = ErrnoStatus(errno, "replace the link", path);
    unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(ParentOf(path));
}

Status SyncDirectory(const std::string& path) {
  Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return ErrnoStatus(errno, "open the folder", path);
  if (fsync(folder.get()) != 0 && errno != EINVAL) return ErrnoStatus(errno, "sync the folder", path);
  return OkStatus();
}

Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return ErrnoStatus(error.value(), "create the folder", path);
  if (!IsDirectory(path)) return ErrnoStatus(ENOTDIR, "create the folder", path);
  return OkStatus();
}

Status RemoveAll(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? ErrnoStatus(error.value(), "remove", path) : OkStatus();
}

Status RenamePath(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return OkStatus();
  return ErrnoStatus(errno, Cat("rename '", from, "' to"), to);
}

StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    names.push_back(entries->path().filename().string());
  }
  if (error) return ErrnoStatus(error.value(), "list the folder", path);
  std::sort(names.begin(), names.end());
  return names;
}

bool IsDirectory(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool IsRegularFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

std::string JoinPath(std::string_view folder, std::string_view name) {
  if (folder.empty() || name.starts_with('/')) return std::string(name);
  return folder.ends_with('/') ? Cat(folder, name) : Cat(folder, "/", name);
}

}  // namespace gptc
