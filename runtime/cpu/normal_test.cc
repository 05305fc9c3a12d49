#include "runtime/cpu/normal.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(FillNormal, FollowsItsDefinition) {
  const PhiloxKey key = {123, 456};
  std::vector<float> values(1003);
  FillNormal(values.data(), static_cast<int64_t>(values.size()), 0.5f, key);
  for (size_t i = 0; i < values.size(); ++i) {
    const PhiloxCounter words = Philox4x32({static_cast<uint32_t>(i / 4), 0, 0, 0}, key);
    const size_t pair = i % 4 / 2 * 2;
    const double u = (static_cast<double>(words[pair] >> 8) + 1) * 0x1p-24;
    const double a = static_cast<double>(words[pair + 1] >> 8) * 0x1p-24 * 2 * M_PI - M_PI;
    const double radius = 0.5 * std::sqrt(-2 * std::log(u));
    EXPECT_NEAR(values[i], radius * (i % 2 == 0 ? std::cos(a) : std::sin(a)), 2e-6) << i;
  }
}

TEST(FillNormal, HasTheMomentsOfANormalAndAnyPrefixOfALongerArray) {
  const int64_t count = 1'000'000;
  std::vector<float> values(count), prefix(70'001);
  FillNormal(values.data(), count, 1, {1, 2});
  double sum = 0, squares = 0, fourth = 0;
  for (float v : values) {
    ASSERT_TRUE(std::isfinite(v));
    sum += v;
    squares += v * v;
    fourth += std::pow(v, 4);
  }
  EXPECT_NEAR(sum / count, 0, 0.004);
  EXPECT_NEAR(squares / count, 1, 0.006);
  EXPECT_NEAR(fourth / count, 3, 0.05);
  FillNormal(prefix.data(), static_cast<int64_t>(prefix.size()), 1, {1, 2});
  EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), values.begin()));
}

}  // namespace
}  // namespace gptc
