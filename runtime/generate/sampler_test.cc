#include "runtime/generate/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "gtest/gtest.h"

namespace gptc {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

int32_t Pick(const SamplerOptions& options, const std::vector<float>& logits, int64_t position = 0) {
  Sampler sampler(options);
  auto token = sampler.Sample(logits, position);
  EXPECT_TRUE(token.ok()) << token.status();
  return token.value_or(-1);
}

// How often each token comes in `draws` draws.
std::map<int32_t, double> Shares(SamplerOptions options, const std::vector<float>& logits, int draws = 20000) {
  Sampler sampler(options);
  std::map<int32_t, double> shares;
  for (int i = 0; i < draws; ++i) shares[sampler.Sample(logits, i).value()] += 1.0 / draws;
  return shares;
}

TEST(Sampler, GreedyTakesTheFirstMaximum) {
  const std::vector<float> logits = {-1, 3, 2, 3, -kInf};
  EXPECT_EQ(Pick({.temperature = 0}, logits), 1);
  for (int64_t position = 0; position < 50; ++position) EXPECT_EQ(Pick({.top_k = 1}, logits, position), 1);
}

TEST(Sampler, SharesFollowTheSoftmax) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  auto shares = Shares({.temperature = 1, .top_k = 0}, logits);
  EXPECT_NEAR(shares[0], 0.5, 0.015);
  EXPECT_NEAR(shares[1], 0.3, 0.015);
  EXPECT_NEAR(shares[2], 0.2, 0.015);
  auto cold = Shares({.temperature = 0.5, .top_k = 0}, logits);  // squares: 25, 9, 4
  EXPECT_NEAR(cold[0], 25.0 / 38, 0.015);
  EXPECT_NEAR(cold[2], 4.0 / 38, 0.015);
}

TEST(Sampler, TopKAndTopPCutTheTail) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  auto two = Shares({.temperature = 1, .top_k = 2}, logits);
  EXPECT_EQ(two.count(0), 0u);
  EXPECT_NEAR(two[1], 5.0 / 8, 0.015);
  // 0.5 alone does not reach 0.6; with 0.3 it does.
  auto nucleus = Shares({.temperature = 1, .top_k = 0, .top_p = 0.6}, logits);
  EXPECT_EQ(nucleus.count(0), 0u);
  EXPECT_NEAR(nucleus[2], 3.0 / 8, 0.015);
  EXPECT_EQ(Shares({.temperature = 1, .top_k = 0, .top_p = 0.4}, logits).size(), 1u);
  EXPECT_EQ(Shares({.temperature = 1, .top_k = 100}, logits).size(), 3u);  // more than there are
}

TEST(Sampler, EqualLogitsAreCutFromTheHighestId) {
  auto shares = Shares({.temperature = 1, .top_k = 2}, {1, 1, 1, 1}, 2000);
  EXPECT_EQ(shares.size(), 2u);
  EXPECT_TRUE(shares.contains(0) && shares.contains(1));
}

TEST(Sampler, SeedAndPositionDecide) {
  const std::vector<float> logits(1000, 0.0f);
  EXPECT_EQ(Pick({.top_k = 0, .seed = 5}, logits, 7), Pick({.top_k = 0, .seed = 5}, logits, 7));
  EXPECT_NE(Pick({.top_k = 0, .seed = 5}, logits, 7), Pick({.top_k = 0, .seed = 6}, logits, 7));
  EXPECT_NE(Pick({.top_k = 0, .seed = 5}, logits, 7), Pick({.top_k = 0, .seed = 5}, logits, 8));
  double sum = 0;
  for (int64_t i = 0; i < 10000; ++i) {
    const double u = Sampler::Uniform(1, i);
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
}

TEST(Sampler, NeverTakesWhatIsImpossible) {
  auto shares = Shares({.temperature = 100, .top_k = 0}, {-kInf, 0, -kInf, 0}, 2000);
  EXPECT_EQ(shares.size(), 2u);
  EXPECT_TRUE(shares.contains(1) && shares.contains(3));
  EXPECT_EQ(Pick({.temperature = 1e-300, .top_k = 0}, {0, 1, 0.999f}), 1);
}

TEST(Sampler, RefusesNumbersThatAreNone) {
  Sampler greedy({.temperature = 0}), random({});
  for (float bad : {std::nanf(""), kInf}) {
    const std::vector<float> logits = {0, bad, 1};
    EXPECT_TRUE(absl::IsAborted(greedy.Sample(logits, 0).status()));
    EXPECT_TRUE(absl::IsAborted(random.Sample(logits, 0).status()));
  }
  EXPECT_FALSE(greedy.Sample({}, 0).ok());
}

TEST(Sampler, OptionsOutOfRangeNameTheFlag) {
  EXPECT_TRUE(CheckSampler({}).ok());
  auto names = [](const SamplerOptions& options, std::string_view flag) {
    const Status status = CheckSampler(options);
    return absl::IsOutOfRange(status) && Message(status).find(flag) != std::string::npos;
  };
  EXPECT_TRUE(names({.temperature = -1}, "--temperature"));
  EXPECT_TRUE(names({.temperature = std::nan("")}, "--temperature"));
  EXPECT_TRUE(names({.top_k = -1}, "--top-k"));
  EXPECT_TRUE(names({.top_p = 0}, "--top-p"));
  EXPECT_TRUE(names({.top_p = 1.5}, "--top-p"));
}

}  // namespace
}  // namespace gptc
