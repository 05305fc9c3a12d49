#include "runtime/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_format.h"
#include "ir/base/text.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

constexpr double kLineInterval = 1.0;  // seconds between plain lines
constexpr double kRedrawInterval = 0.1;
constexpr int kBarWidth = 20;

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

size_t Columns(int fd) {
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 120;
}

std::string Bar(int64_t step, int64_t steps) {
  int full = steps <= 0 ? 0
                        : static_cast<int>(std::clamp<double>(
                              kBarWidth * static_cast<double>(step) / static_cast<double>(steps), 0, kBarWidth));
  return Cat("[", std::string(full, '='), std::string(kBarWidth - full, ' '), "] ");
}

}  // namespace

std::string Duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 3.6e9) return "?";
  int64_t whole = std::llround(seconds);
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string StepLine(const StepReport& report, double eta_seconds) {
  std::string line = absl::StrFormat("step %5d/%d | loss %.4f | norm %.2f | lr %.2e | ", report.step, report.steps,
                                     report.loss, report.grad_norm, report.lr);
  line += absl::StrFormat(report.ms < 10 ? "%.2f ms | " : report.ms < 100 ? "%.1f ms | " : "%.0f ms | ", report.ms);
  line += Cat(std::isfinite(report.tokens_per_s) ? Grouped(std::llround(report.tokens_per_s)) : "?", " tok/s");
  if (report.mfu) line += absl::StrFormat(" | MFU %.0f %%", *report.mfu * 100);
  return Cat(line, " | ETA ", Duration(eta_seconds));
}

Progress::Progress(int fd, Mode mode, std::function<double()> now)
    : fd_(fd), mode_(mode), now_(now ? std::move(now) : SteadySeconds) {}

Progress::~Progress() { Finish(); }

// A closed standard error is no reason to end a run.
void Progress::Write(std::string_view text) { (void)WriteAll(fd_, text.data(), text.size(), "standard error"); }

void Progress::Step(const StepReport& report) {
  // Smoothed, so that one slow step (an evaluation, a checkpoint) does not move the estimate much.
  smooth_ms_ = any_ ? 0.9 * smooth_ms_ + 0.1 * report.ms : report.ms;
  bool first = !std::exchange(any_, true);
  if (mode_ == Mode::kQuiet) return;
  double now = now_();
  bool edge = first || report.step >= report.steps;
  if (!edge && now - last_shown_ < (mode_ == Mode::kTerminal ? kRedrawInterval : kLineInterval)) return;
  last_shown_ = now;
  std::string line = StepLine(report, static_cast<double>(report.steps - report.step) * smooth_ms_ / 1000);
  if (mode_ == Mode::kLines) return Write(Cat(line, "\n"));
  live_ = Cat(Bar(report.step, report.steps), line).substr(0, Columns(fd_) - 1);
  Write(Cat("\r\x1b[K", live_));
}

void Progress::Note(std::string_view line) {
  if (mode_ == Mode::kQuiet) return;
  Write(live_.empty() ? Cat(line, "\n") : Cat("\r\x1b[K", line, "\n", live_));
}

void Progress::Finish() {
  if (!live_.empty()) Write("\n");
  live_.clear();
}

Progress::Mode ProgressModeOf(int fd) {
  const char* term = std::getenv("TERM");
  bool dumb = term == nullptr || std::string_view(term) == "dumb";
  return isatty(fd) == 1 && !dumb ? Progress::Mode::kTerminal : Progress::Mode::kLines;
}

}  // namespace gptc
