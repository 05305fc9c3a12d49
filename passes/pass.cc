#include "passes/pass.h"

#include <charconv>
#include <optional>

#include "ir/base/target.h"

namespace gptc {

Status PassOptions::Set(std::string_view option, std::string_view value) {
  if (option == "target") {
    ASSIGN_OR_RETURN(target, ResolveTarget(value));
    return OkStatus();
  }
  if (option == "compute" || option == "residual") {
    const std::optional<DType> dtype = DTypeNamed(value);
    if (!dtype || !IsFloat(*dtype)) return UsageError(option, ": '", value, "' is no float type");
    (option == "compute" ? compute : residual) = *dtype;
    return OkStatus();
  }
  if (option == "memory_budget" || option == "loss_chunk" || option == "threads") {
    int64_t& number = option == "threads" ? threads : option == "loss_chunk" ? loss_chunk : memory_budget;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc() && end == value.data() + value.size() && number >= 0) return OkStatus();
    return UsageError(option, ": '", value, "' is no number of ",
                      option == "threads"      ? "threads"
                      : option == "loss_chunk" ? "rows"
                                               : "bytes");
  }
  return UsageError("no pass option is called '", option,
                    "'; there are target, compute, residual, memory_budget, loss_chunk and threads");
}

}  // namespace gptc
