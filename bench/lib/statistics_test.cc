#include "bench/lib/statistics.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(Statistics, MedianAndShift) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  const RatioInterval twice = RatioOf({1, 1.01, 0.99, 1.02, 0.98}, {2, 2.02, 1.98, 2.04, 1.96}, 0.95);
  EXPECT_TRUE(twice.known);
  EXPECT_NEAR(twice.estimate, 2, 0.01);
  EXPECT_GT(twice.low, 1.9);
  EXPECT_LT(twice.high, 2.1);
}

// Hollander and Wolfe, table A.6: for 5 and 5 samples, P(U <= 2) = 0.0159 and P(U <= 3) = 0.0278; so a 95 % interval
// cuts three differences off at either end, and a 97 % one the same three. For 3 and 3, P(U <= 0) = 0.05.
TEST(Statistics, IntervalsAreThoseOfTheTables) {
  std::vector<double> before = {1, 1, 1, 1, 1}, after;
  for (int i = 1; i <= 5; ++i) after.push_back(i);
  // The differences are log i, each five times.
  RatioInterval ratio = RatioOf(before, after, 0.95);
  EXPECT_TRUE(ratio.known);
  EXPECT_NEAR(ratio.low, 1, 1e-12);
  EXPECT_NEAR(ratio.high, 5, 1e-12);
  EXPECT_FALSE(RatioOf({1, 2, 3}, {1, 2, 3}, 0.95).known);
  EXPECT_TRUE(RatioOf({1, 2, 3}, {1, 2, 3}, 0.89).known);
  EXPECT_FALSE(RatioOf({1, 2}, {1, 2}, 0.9).known);
}

// The interval misses the true ratio as seldom as it says, however the noise is distributed.
TEST(Statistics, IntervalsHoldTheTruth) {
  std::mt19937 random(7);
  std::exponential_distribution<double> spike(2);
  for (size_t samples : {7u, 30u}) {
    int missed = 0;
    constexpr int kTrials = 2000;
    for (int trial = 0; trial < kTrials; ++trial) {
      std::vector<double> before, after;
      for (size_t i = 0; i < samples; ++i) {
        before.push_back(1 + spike(random));
        after.push_back(1.1 * (1 + spike(random)));
      }
      const RatioInterval ratio = RatioOf(before, after, 0.95);
      ASSERT_TRUE(ratio.known);
      missed += ratio.low > 1.1 || ratio.high < 1.1;
    }
    EXPECT_LT(missed, 0.065 * kTrials) << samples;
    EXPECT_GT(missed, 0.02 * kTrials) << samples;
  }
}

}  // namespace
}  // namespace gptc
