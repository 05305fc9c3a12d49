// What a pass is: a documented free function over a module. The pipeline that lists them in order is
// frontends/gptc/pipeline.cc; what wraps each one (verify, fingerprint, time, dump) is instrument.h.
#ifndef GPTC_PASSES_PASS_H_
#define GPTC_PASSES_PASS_H_

#include <string>
#include <vector>

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

class PassContext {
 public:
  void Done(const Location& location, std::string text) {
    remarks_.push_back({pass_, true, location, std::move(text)});
  }
  void Missed(const Location& location, std::string text) {
    remarks_.push_back({pass_, false, location, std::move(text)});
  }

  void set_pass(std::string pass) { pass_ = std::move(pass); }
  const std::vector<Remark>& remarks() const { return remarks_; }

 private:
  std::string pass_;
  std::vector<Remark> remarks_;
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
