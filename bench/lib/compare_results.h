// Two files of results, row by row.
#ifndef GPTC_BENCH_LIB_COMPARE_RESULTS_H_
#define GPTC_BENCH_LIB_COMPARE_RESULTS_H_

#include <string>

#include "ir/base/status.h"
#include "nlohmann/json.hpp"

namespace gptc {

struct CompareOptions {
  double threshold = 0.03;   // a smaller change is none
  double confidence = 0.99;  // of each row's interval
  bool ratios = false;       // compare "x/on" over "x/off", sample by sample: what the machine's pace does not change
};

struct Comparison {
  std::string text;
  nlohmann::ordered_json json;
  int regressions = 0;
};

// Files as bench/fusion and bench/peers write them: {"rows": [{"name", "ms": [samples], "kernels", "bytes_moved",
// "arena_bytes", ...}]}. Rows go by name. A row is slower where its whole interval lies above 1 and its estimate above
// 1 + threshold; counts of bytes are exact, and a regression where they grow by more than the threshold. Errors:
// InvalidArgument where a file is not of that form.
StatusOr<Comparison> CompareResults(const nlohmann::ordered_json& before, const nlohmann::ordered_json& after,
                                    const CompareOptions& options);

}  // namespace gptc

#endif  // GPTC_BENCH_LIB_COMPARE_RESULTS_H_
