// Where and when a measurement was made, for the head of its file.
#ifndef GPTC_BENCH_LIB_ENVIRONMENT_H_
#define GPTC_BENCH_LIB_ENVIRONMENT_H_

#include "nlohmann/json.hpp"

namespace gptc {

// {"revision" (of the sources' git repository, "-dirty" behind it where files differ), "date", "machine", "threads"}
nlohmann::ordered_json DescribeEnvironment();

}  // namespace gptc

#endif  // GPTC_BENCH_LIB_ENVIRONMENT_H_
