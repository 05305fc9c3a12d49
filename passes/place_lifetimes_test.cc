#include "passes/place_lifetimes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace gptc {
namespace {

constexpr int64_t kAlignment = 64;

int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// What every placement must keep to, written out the slow way.
void Check(const std::vector<Lifetime>& lifetimes, const Placement& placement) {
  ASSERT_EQ(placement.offsets.size(), lifetimes.size());
  int64_t peak = 0;
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    int64_t begin = placement.offsets[i], end = begin + lifetimes[i].bytes;
    ASSERT_GE(begin, 0);
    ASSERT_EQ(begin % kAlignment, 0);
    peak = std::max(peak, begin + Aligned(lifetimes[i].bytes));
    for (size_t j = 0; j < i; ++j) {
      bool together = lifetimes[i].begin <= lifetimes[j].end && lifetimes[j].begin <= lifetimes[i].end;
      bool apart = end <= placement.offsets[j] || placement.offsets[j] + lifetimes[j].bytes <= begin;
      ASSERT_TRUE(!together || apart) << "blocks " << j << " and " << i;
    }
  }
  EXPECT_EQ(placement.peak, peak);
  int64_t bound = 0;
  for (const Lifetime& at : lifetimes) {
    int64_t alive = 0;
    for (const Lifetime& life : lifetimes)
      alive += life.begin <= at.begin && at.begin <= life.end ? Aligned(life.bytes) : 0;
    bound = std::max(bound, alive);
  }
  EXPECT_EQ(placement.lower_bound, bound);
  EXPECT_GE(placement.peak, placement.lower_bound);
}

Placement Place(const std::vector<Lifetime>& lifetimes) {
  Placement placement = PlaceLifetimes(lifetimes, kAlignment);
  Check(lifetimes, placement);
  return placement;
}

TEST(PlaceLifetimes, SmallOnes) {
  EXPECT_EQ(Place({}).peak, 0);
  EXPECT_EQ(Place({{0, 0, 1}}).peak, 64);
  EXPECT_EQ(Place({{0, 0, 0}, {0, 3, 0}}).peak, 0);
  EXPECT_EQ(Place({{0, 1, 64}, {2, 3, 64}}).peak, 64);   // one after the other
  EXPECT_EQ(Place({{0, 1, 64}, {1, 2, 64}}).peak, 128);  // both ends count
  EXPECT_EQ(Place({{-1, 5, 65}, {0, 2, 64}, {3, 5, 64}}).peak, 192);
}

TEST(PlaceLifetimes, RandomOnes) {
  std::mt19937 random(1);
  for (int instance = 0; instance < 300; ++instance) {
    std::vector<Lifetime> lifetimes;
    int steps = 1 + static_cast<int>(random() % 50), count = static_cast<int>(random() % 80);
    for (int i = 0; i < count; ++i) {
      int begin = static_cast<int>(random() % steps) - 1,
          length = static_cast<int>(random() % (random() % 3 == 0 ? steps : 4));
      lifetimes.push_back({begin, begin + length, static_cast<int64_t>(random() % (random() % 4 == 0 ? 100000 : 500))});
    }
    Placement placement = Place(lifetimes);
    EXPECT_LE(static_cast<double>(placement.peak), 1.5 * static_cast<double>(placement.lower_bound) + 64) << instance;
    EXPECT_EQ(placement.offsets, PlaceLifetimes(lifetimes, kAlignment).offsets);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// As of a forward pass whose activations wait for the backward: a stack, which can be placed without any loss.
TEST(PlaceLifetimes, AStackNeedsNoMoreThanItsBound) {
  std::vector<Lifetime> lifetimes;
  for (int i = 0; i < 100; ++i) lifetimes.push_back({i, 200 - i, 1000 + 64 * (i % 7)});
  Placement placement = Place(lifetimes);
  EXPECT_EQ(placement.peak, placement.lower_bound);
}

}  // namespace
}  // namespace gptc
