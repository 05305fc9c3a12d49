// metrics.jsonl of a run: one JSON object a line.
//   {"split":"train","step":1,"loss":…,"grad_norm":…,"lr":…,"tokens":…,"ms":…,"tokens_per_s":…}   every optimizer step,
//   from 1
//   {"split":"val","step":1,"loss":…}                                                              every evaluation
// A number that is not finite is written as null.
#ifndef GPTC_RUNTIME_TRAIN_METRICS_H_
#define GPTC_RUNTIME_TRAIN_METRICS_H_

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/status.h"

namespace gptc {

struct TrainMetrics {
  int64_t step = 0;
  double loss = 0;       // mean over the micro-batches, nats a token
  double grad_norm = 0;  // before clipping
  double lr = 0;         // the one applied
  int64_t tokens = 0;    // of this step
  double ms = 0;         // wall time of this step
  double tokens_per_s = 0;
};

// Appends rows; each is in the file when its call returns, and a row is written by one call to the system, so that
// a killed run leaves at most one partial line, the last.
class MetricsWriter {
 public:
  // Opens for append, made where there is none. A partial last line is cut off.
  static StatusOr<MetricsWriter> Open(const std::string& path);
  MetricsWriter(MetricsWriter&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  MetricsWriter& operator=(MetricsWriter&& other) noexcept;
  ~MetricsWriter();

  Status WriteTrain(const TrainMetrics& row);
  Status WriteVal(int64_t step, double loss);

 private:
  MetricsWriter(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Status WriteLine(const std::string& json);
  int fd_;
  std::string path_;
};

// Rewrites the file in one step without the rows of steps past `step`, and without lines that are not whole: what a run
// that goes on from the checkpoint of `step` will write again. No error where there is no file.
Status DropMetricsAfter(const std::string& path, int64_t step);

// A row as read back; what it does not have is NaN.
struct MetricsRow {
  std::string split;
  int64_t step = 0;
  double loss = std::numeric_limits<double>::quiet_NaN();
  double grad_norm = std::numeric_limits<double>::quiet_NaN();
  double lr = std::numeric_limits<double>::quiet_NaN();
  double tokens = std::numeric_limits<double>::quiet_NaN();
  double ms = std::numeric_limits<double>::quiet_NaN();
  double tokens_per_s = std::numeric_limits<double>::quiet_NaN();
};

// All rows that are whole, in the file's order.
StatusOr<std::vector<MetricsRow>> ReadMetrics(const std::string& path);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_METRICS_H_
