// What `gptrun tune` found out: for each product, by its name, the algorithm that was fastest, and for what can be
// computed in several ways, the fastest of these. One file per library version and GPU architecture, so that an
// algorithm never meets another library than its own.
#ifndef GPTC_RUNTIME_CUDA_GEMM_TIMINGS_H_
#define GPTC_RUNTIME_CUDA_GEMM_TIMINGS_H_

#include <map>
#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

class GemmTimings {
 public:
  // Of the engine with this name, "cublaslt-130103-sm90", from $GPTC_TUNING_DIR, else $XDG_CACHE_HOME/gptc, else
  // ~/.cache/gptc. A file that is missing or damaged holds nothing: the library's own choice is then taken.
  static GemmTimings Open(std::string_view engine);

  // The bytes that describe the algorithm; empty where the product was not timed.
  std::string Find(const std::string& product) const;
  void Set(const std::string& product, std::string_view algorithm) { algorithms_[product] = algorithm; }
  // The name of the fastest way; empty where they were not timed.
  std::string FindWay(const std::string& of) const;
  void SetWay(const std::string& of, std::string_view way) { ways_[of] = way; }
  // Written aside and renamed.
  Status Save() const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::map<std::string, std::string> algorithms_, ways_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CUDA_GEMM_TIMINGS_H_
