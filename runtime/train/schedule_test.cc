#include "runtime/train/schedule.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace gptc {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Schedule, Warmup) {
  Schedule s{.lr = 1e-3, .warmup = 4, .decay_steps = 10};
  EXPECT_EQ(LearningRate(s, 1), 1e-3 / 4);
  EXPECT_EQ(LearningRate(s, 4), 1e-3);
  EXPECT_EQ(LearningRate(s, 5), 1e-3);
}

TEST(Schedule, Cosine) {
  Schedule s{.lr = 1, .floor = 0.1, .warmup = 2, .decay_steps = 12};
  EXPECT_DOUBLE_EQ(LearningRate(s, 3), 1);
  EXPECT_DOUBLE_EQ(LearningRate(s, 8), 0.55);  // half way
  EXPECT_DOUBLE_EQ(LearningRate(s, 12), 0.1 + 0.45 * (1 + std::cos(M_PI * 0.9)));
  EXPECT_EQ(LearningRate(s, 13), 0.1);
  EXPECT_EQ(LearningRate(s, 1000), 0.1);
}

TEST(Schedule, LinearAndConstant) {
  Schedule s{.kind = ScheduleKind::kLinear, .lr = 1, .floor = 0, .decay_steps = 10};
  EXPECT_DOUBLE_EQ(LearningRate(s, 1), 1);
  EXPECT_DOUBLE_EQ(LearningRate(s, 6), 0.5);
  EXPECT_EQ(LearningRate(s, 11), 0);
  s.kind = ScheduleKind::kConstant;
  EXPECT_EQ(LearningRate(s, 1), 1);
  EXPECT_EQ(LearningRate(s, 100), 1);
}

TEST(Schedule, Wsd) {
  Schedule s{.kind = ScheduleKind::kWsd, .lr = 1, .floor = 0, .warmup = 10, .decay_steps = 100};
  EXPECT_EQ(LearningRate(s, 11), 1);
  EXPECT_EQ(LearningRate(s, 81), 1);
  EXPECT_DOUBLE_EQ(LearningRate(s, 86), 0.5);  // a quarter of the decay
  EXPECT_EQ(LearningRate(s, 101), 0);
}

TEST(Schedule, DegenerateLengths) {
  for (auto kind : {ScheduleKind::kCosine, ScheduleKind::kLinear, ScheduleKind::kConstant, ScheduleKind::kWsd}) {
    for (int64_t warmup : {0, 5, 10, 20}) {
      for (int64_t decay : {0, 1, 10}) {
        for (int64_t step : {1, 2, 10, 11, 12, 100}) {
          double rate =
              LearningRate({.kind = kind, .lr = 1, .floor = 0.25, .warmup = warmup, .decay_steps = decay}, step);
          EXPECT_TRUE(rate > 0 && rate <= 1) << warmup << " " << decay << " " << step << " " << rate;
        }
      }
    }
  }
}

TEST(Schedule, NamesAndRanges) {
  EXPECT_EQ(*ScheduleNamed("wsd"), ScheduleKind::kWsd);
  EXPECT_EQ(NameOf(ScheduleKind::kLinear), "linear");
  Status unknown = ScheduleNamed("cosin").status();
  EXPECT_EQ(ExitCode(unknown), 2);
  EXPECT_NE(Message(unknown).find("did you mean cosine?"), std::string::npos);
  EXPECT_TRUE(CheckSchedule({}).ok());
  EXPECT_EQ(ExitCode(CheckSchedule({.lr = kNan})), 2);
  EXPECT_EQ(ExitCode(CheckSchedule({.lr = -1})), 2);
  EXPECT_EQ(ExitCode(CheckSchedule({.lr = 1, .floor = 2})), 2);
  EXPECT_EQ(ExitCode(CheckSchedule({.lr = 1, .floor = kNan})), 2);
  EXPECT_EQ(ExitCode(CheckSchedule({.warmup = -1})), 2);
}

}  // namespace
}  // namespace gptc
