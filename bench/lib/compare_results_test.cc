#include "bench/lib/compare_results.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

// Seven samples around `ms`, with noise of a few percent.
std::vector<double> Samples(double ms, unsigned seed, double noise = 0.01) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, noise);
  std::vector<double> samples;
  for (int i = 0; i < 7; ++i) samples.push_back(ms * std::exp(normal(random)));
  return samples;
}

Json File(const std::vector<std::pair<std::string, std::vector<double>>>& rows) {
  Json file = {{"machine", "here"}, {"rows", Json::array()}};
  for (const auto& [name, ms] : rows) file["rows"].push_back({{"name", name}, {"ms", ms}});
  return file;
}

std::string VerdictOf(const Comparison& comparison, const std::string& name) {
  for (const Json& row : comparison.json["rows"]) {
    if (row["name"] == name) return row["verdict"];
  }
  return "";
}

TEST(CompareResults, TellsChangesFromNoise) {
  const Json before = File({{"same", Samples(10, 1)},
                            {"slower", Samples(10, 2)},
                            {"faster", Samples(10, 3)},
                            {"small", Samples(10, 4, 0.001)},
                            {"noisy", Samples(10, 5, 0.3)},
                            {"few", {1, 2}},
                            {"gone", {1}}});
  const Json after = File({{"same", Samples(10, 11)},
                           {"slower", Samples(11, 12)},
                           {"faster", Samples(9, 13)},
                           {"small", Samples(10.1, 14, 0.001)},
                           {"noisy", Samples(10.5, 15, 0.3)},
                           {"few", {3, 4}},
                           {"new", {1}}});
  const StatusOr<Comparison> comparison = CompareResults(before, after, {});
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  EXPECT_EQ(VerdictOf(*comparison, "same"), "same");
  EXPECT_EQ(VerdictOf(*comparison, "slower"), "slower");
  EXPECT_EQ(VerdictOf(*comparison, "faster"), "faster");
  EXPECT_EQ(VerdictOf(*comparison, "small"), "same");  // real, and below the threshold
  EXPECT_EQ(VerdictOf(*comparison, "noisy"), "same, within noise");
  EXPECT_EQ(VerdictOf(*comparison, "few"), "too few samples");
  EXPECT_EQ(comparison->regressions, 1);
  EXPECT_THAT(comparison->text, HasSubstr("only in the first file: gone"));
  EXPECT_THAT(comparison->text, HasSubstr("only in the second file: new"));
  EXPECT_EQ(CompareResults(before, after, {.threshold = 0.005})->regressions, 2);
  EXPECT_EQ(CompareResults(before, before, {})->regressions, 0);
}

TEST(CompareResults, CountsAreExact) {
  Json before = File({{"row", Samples(10, 1)}}), after = File({{"row", Samples(10, 2)}});
  before["rows"][0]["bytes_moved"] = 100;
  after["rows"][0]["bytes_moved"] = 110;
  before["rows"][0]["kernels"] = 20;
  after["rows"][0]["kernels"] = 19;
  const StatusOr<Comparison> comparison = CompareResults(before, after, {});
  ASSERT_TRUE(comparison.ok());
  EXPECT_EQ(comparison->regressions, 1);
  EXPECT_THAT(comparison->text, HasSubstr("bytes_moved 100 -> 110 (more)"));
  EXPECT_THAT(comparison->text, HasSubstr("kernels 20 -> 19"));
}

// Everything takes three times as long, but for one pass, which gains less than it did.
TEST(CompareResults, RatiosDoNotSeeTheMachinesPace) {
  const Json before =
      File({{"a/off", Samples(20, 1)}, {"a/on", Samples(10, 2)}, {"b/off", Samples(20, 3)}, {"b/on", Samples(10, 4)}});
  const Json after =
      File({{"a/off", Samples(60, 5)}, {"a/on", Samples(30, 6)}, {"b/off", Samples(60, 7)}, {"b/on", Samples(36, 8)}});
  EXPECT_EQ(CompareResults(before, after, {})->regressions, 4);
  const StatusOr<Comparison> ratios = CompareResults(before, after, {.threshold = 0.05, .ratios = true});
  ASSERT_TRUE(ratios.ok());
  EXPECT_EQ(VerdictOf(*ratios, "a"), "same");
  EXPECT_EQ(VerdictOf(*ratios, "b"), "slower");
  EXPECT_EQ(ratios->regressions, 1);
}

TEST(CompareResults, MachinesAreNamedAndBadFilesRefused) {
  Json here = File({{"row", Samples(10, 1)}}), there = here;
  there["machine"] = "there";
  EXPECT_THAT(CompareResults(here, there, {})->text, HasSubstr("different machines"));
  for (const char* bad : {"[]", "{}", R"({"rows": 3})", R"({"rows": [3]})", R"({"rows": [{"name": 3}]})",
                          R"({"rows": [{"name": "x", "ms": 3}]})", R"({"rows": [{"name": "x", "ms": [0]}]})",
                          R"({"rows": [{"name": "x", "ms": ["1"]}]})"}) {
    EXPECT_FALSE(CompareResults(Json::parse(bad), here, {}).ok()) << bad;
    EXPECT_FALSE(CompareResults(here, Json::parse(bad), {}).ok()) << bad;
  }
}

}  // namespace
}  // namespace gptc
