// What a pass is: a documented free function over a module. The pipeline that lists them in order is
// frontends/gptc/pipeline.cc; what wraps each one (verify, fingerprint, time, dump) is instrument.h.
#ifndef GPTC_PASSES_PASS_H_
#define GPTC_PASSES_PASS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/base/dtype.h"
#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

// Why a pass did, or did not do, something, with the line of the model that it is about.
struct Remark {
  std::string pass;
  bool done = true;
  Location location;
  std::string text;
};

// What the user asked of a compilation; the same for all of its passes.
struct PassOptions {
  std::string target = "cpu:x86_64";  // resolved: one of CpuTargets()
  DType compute = DType::kF32;        // what matrix products compute in
  DType residual = DType::kF32;       // type of the residual stream
  int64_t memory_budget = 0;          // bytes for states, arena and workspace together; 0: as much as it takes
  int64_t loss_chunk = 0;             // rows of logits that exist at a time; 0: all
  int64_t threads = 1;                // that the plan will run on; the workspace depends on it

  // Sets one option from text: target, compute, residual (names of dtypes), memory_budget (bytes), loss_chunk (rows) or
  // threads.
  Status Set(std::string_view option, std::string_view value);
};

struct Pass;

class PassContext {
 public:
  PassContext() = default;
  explicit PassContext(PassOptions options) : options_(std::move(options)) {}

  const PassOptions& options() const { return options_; }

  void Done(const Location& location, std::string text) {
    remarks_.push_back({pass_, true, location, std::move(text)});
  }
  void Missed(const Location& location, std::string text) {
    remarks_.push_back({pass_, false, location, std::move(text)});
  }

  void set_pass(std::string pass) { pass_ = std::move(pass); }
  // The passes that will run after this one, for a pass that must know what comes of its module.
  std::span<const Pass> remaining() const { return remaining_; }
  void set_remaining(std::span<const Pass> remaining) { remaining_ = remaining; }
  const std::vector<Remark>& remarks() const { return remarks_; }

 private:
  PassOptions options_;
  std::string pass_;
  std::vector<Remark> remarks_;
  std::span<const Pass> remaining_;
};

using PassFunction = Status (*)(Module& module, PassContext& context);

struct Pass {
  const char* name;  // plain words with underscores
  PassFunction run;
  bool optional;        // may be switched off with --disable
  const char* summary;  // one line, for `gptc passes`
};

}  // namespace gptc

#endif  // GPTC_PASSES_PASS_H_
