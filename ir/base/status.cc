#include "ir/base/status.h"

#include <cerrno>
#include <cstring>

namespace gptc {

Status Annotate(const Status& status, std::string_view where) {
  if (status.ok()) return status;
  return Status(status.code(), Cat(where, ": ", status.message()));
}

Status ErrnoStatus(int error, std::string_view doing, std::string_view path) {
  std::string message = Cat("cannot ", doing, " '", path, "': ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EISDIR) return absl::InvalidArgumentError(message);
  if (error == ENOSPC) message += "; free some space and run again, what was saved before is intact";
  return absl::InternalError(message);
}

int ExitCode(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kOutOfRange:
      return 2;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnimplemented:
      return 3;
    case absl::StatusCode::kResourceExhausted:
      return 4;
    case absl::StatusCode::kAborted:
      return 5;
    case absl::StatusCode::kCancelled:
      return 130;
    default:
      return 1;
  }
}

}  // namespace gptc
