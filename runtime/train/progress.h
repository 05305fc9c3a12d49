// What a run says on standard error as it goes.
#ifndef GPTC_RUNTIME_TRAIN_PROGRESS_H_
#define GPTC_RUNTIME_TRAIN_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace gptc {

struct StepReport {
  int64_t step = 0;  // from 1
  int64_t steps = 0;
  double loss = 0;
  double grad_norm = 0;
  double lr = 0;
  double ms = 0;
  double tokens_per_s = 0;
  std::optional<double> mfu;  // 0 to 1, of the machine's ceiling; left out where it is not known
};

// "step   120/1000 | loss 3.9687 | norm 1.47 | lr 6.00e-04 | 1064 ms | 962 tok/s | MFU 76 % | ETA 15:36"
std::string StepLine(const StepReport& report, double eta_seconds);
// "0:09", "15:36", "3:02:01".
std::string Duration(double seconds);

// In a pipe, plain lines: the first step, the last, and the others at most one a second. On a terminal one line that is
// redrawn at most ten times a second. No colour is used.
class Progress {
 public:
  enum class Mode { kQuiet, kLines, kTerminal };
  // Writes to `fd`; `now` gives seconds, of the steady clock where null.
  explicit Progress(int fd, Mode mode, std::function<double()> now = nullptr);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void Step(const StepReport& report);
  // A line of its own, such as a validation loss.
  void Note(std::string_view line);
  // Leaves the last state of the live line standing. Called by the destructor too.
  void Finish();

 private:
  void Write(std::string_view text);

  int fd_;
  Mode mode_;
  std::function<double()> now_;
  double last_shown_ = -1e300;
  double smooth_ms_ = 0;
  bool any_ = false;
  std::string live_;  // what stands on the terminal's last line
};

// kTerminal where fd is a terminal that understands escape sequences (TERM is not "dumb"), else kLines.
Progress::Mode ProgressModeOf(int fd);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_PROGRESS_H_
