// Errors that users, files or machines cause are absl::Status; our own bugs are CHECK (check.h).
//
// A status code decides the exit code of the programs (ExitCode), and a message says what is wrong, where, and what to
// do.
//   InvalidArgument, NotFound, DataLoss, FailedPrecondition, AlreadyExists, Unimplemented: invalid or incompatible
//   input -> 3 OutOfRange: a flag's value is outside what it can be -> 2 ResourceExhausted: out of memory -> 4 Aborted:
//   the loss is not finite or diverged                                                                         -> 5
//   Cancelled: interrupted, after a checkpoint was saved -> 130 anything else (a full disk, a file that cannot be
//   written): failure                                                 -> 1
#ifndef GPTC_IR_BASE_STATUS_H_
#define GPTC_IR_BASE_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/text.h"

namespace gptc {

using absl::Status;
template <typename T>
using StatusOr = absl::StatusOr<T>;
inline Status OkStatus() { return absl::OkStatus(); }

// Each of these joins its arguments into the message.
template <typename... Parts>
Status InvalidArgument(const Parts&... parts) {
  return absl::InvalidArgumentError(Cat(parts...));
}
template <typename... Parts>
Status NotFound(const Parts&... parts) {
  return absl::NotFoundError(Cat(parts...));
}
template <typename... Parts>
Status DataLoss(const Parts&... parts) {
  return absl::DataLossError(Cat(parts...));
}
template <typename... Parts>
Status FailedPrecondition(const Parts&... parts) {
  return absl::FailedPreconditionError(Cat(parts...));
}
template <typename... Parts>
Status UsageError(const Parts&... parts) {
  return absl::OutOfRangeError(Cat(parts...));
}
template <typename... Parts>
Status OutOfMemory(const Parts&... parts) {
  return absl::ResourceExhaustedError(Cat(parts...));
}
template <typename... Parts>
Status Failure(const Parts&... parts) {
  return absl::InternalError(Cat(parts...));
}

inline std::string Message(const Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// The same error with `where` in front of its message: "where: message".
Status Annotate(const Status& status, std::string_view where);

// errno of a failed call on `path`, as a Status: "cannot open 'x': No such file or directory". ENOENT is NotFound,
// ENOSPC and all others are failures. `doing` is a verb: "open", "write".
Status ErrnoStatus(int error, std::string_view doing, std::string_view path);

// What a program that ends with `status` returns to its caller; the table is above.
int ExitCode(const Status& status);

}  // namespace gptc

#define GPTC_CONCAT_INNER(a, b) a##b
#define GPTC_CONCAT(a, b) GPTC_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                                           \
  do {                                                                        \
    if (::absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_INNER(GPTC_CONCAT(status_or_, __LINE__), declaration, expression)
#define ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
  auto temporary = (expression);                                   \
  if (!temporary.ok()) return temporary.status();                  \
  declaration = *std::move(temporary)

#endif  // GPTC_IR_BASE_STATUS_H_
