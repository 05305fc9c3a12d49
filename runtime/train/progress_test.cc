#include "runtime/train/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

// What a Progress with a clock of `seconds_per_step` writes for `steps` steps.
std::string Shown(Progress::Mode mode, int64_t steps, double seconds_per_step) {
  std::string path = ::testing::TempDir() + "/progress_test.txt";
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  double clock = 0;
  {
    Progress progress(fd, mode, [&] { return clock; });
    for (int64_t step = 1; step <= steps; ++step) {
      clock += seconds_per_step;
      progress.Step({.step = step,
                     .steps = steps,
                     .loss = 4,
                     .grad_norm = 1,
                     .lr = 1e-3,
                     .ms = seconds_per_step * 1000,
                     .tokens_per_s = 5});
      if (step == 2) progress.Note("val loss 3");
    }
  }
  close(fd);
  return *ReadFileToString(path);
}

TEST(Progress, Line) {
  StepReport report{.step = 120,
                    .steps = 1000,
                    .loss = 3.96871,
                    .grad_norm = 1.468,
                    .lr = 6e-4,
                    .ms = 1064,
                    .tokens_per_s = 962.4,
                    .mfu = 0.76};
  EXPECT_EQ(StepLine(report, 936),
            "step   120/1000 | loss 3.9687 | norm 1.47 | lr 6.00e-04 | 1064 ms | 962 tok/s | MFU 76 % | ETA 15:36");
  report.mfu.reset();
  report.ms = 1.5;
  report.tokens_per_s = 1234567;
  EXPECT_EQ(StepLine(report, 3 * 3600 + 121),
            "step   120/1000 | loss 3.9687 | norm 1.47 | lr 6.00e-04 | 1.50 ms | 1,234,567 tok/s | ETA 3:02:01");
  EXPECT_EQ(Duration(9), "0:09");
  EXPECT_EQ(Duration(-1), "?");
}

TEST(Progress, SlowStepsAllShowFastOnesOncePerSecond) {
  std::string slow = Shown(Progress::Mode::kLines, 5, 2);
  EXPECT_EQ(std::count(slow.begin(), slow.end(), '\n'), 6);
  EXPECT_THAT(slow, ::testing::HasSubstr("\nval loss 3\n"));
  EXPECT_THAT(slow, ::testing::HasSubstr(
                        "step     1/5 | loss 4.0000 | norm 1.00 | lr 1.00e-03 | 2000 ms | 5 tok/s | ETA 0:08"));
  EXPECT_EQ(slow.find('\r'), std::string::npos);
  std::string fast = Shown(Progress::Mode::kLines, 1000, 0.0025);
  EXPECT_EQ(std::count(fast.begin(), fast.end(), '\n'), 1 + 1 + 2 + 1);  // the first, the note, two seconds, the last
  EXPECT_THAT(fast, ::testing::HasSubstr("step  1000/1000"));
  EXPECT_EQ(Shown(Progress::Mode::kQuiet, 5, 2), "");
}

TEST(Progress, TerminalRedrawsOneLine) {
  std::string text = Shown(Progress::Mode::kTerminal, 4, 1);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 5);
  EXPECT_TRUE(text.ends_with("\n"));
}

}  // namespace
}  // namespace gptc
