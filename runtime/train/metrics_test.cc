#include "runtime/train/metrics.h"

#include <cmath>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

std::string Fresh() {
  std::string path = ::testing::TempDir() + "/metrics_test.jsonl";
  EXPECT_TRUE(RemoveAll(path).ok());
  return path;
}

void Append(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::app) << text; }

TEST(Metrics, RowsAreInTheFileAtOnce) {
  std::string path = Fresh();
  auto writer = MetricsWriter::Open(path);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(
      writer
          ->WriteTrain(
              {.step = 1, .loss = 0.1, .grad_norm = 1.5, .lr = 6e-4, .tokens = 64, .ms = 2, .tokens_per_s = 32000})
          .ok());
  ASSERT_TRUE(writer->WriteVal(1, NAN).ok());
  EXPECT_EQ(*ReadFileToString(path),
            "{\"split\":\"train\",\"step\":1,\"loss\":0.1,\"grad_norm\":1.5,\"lr\":0.0006,\"tokens\":64,\"ms\":2.0,"
            "\"tokens_per_s\":32000.0}\n"
            "{\"split\":\"val\",\"step\":1,\"loss\":null}\n");
  auto rows = ReadMetrics(path);
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].loss, 0.1);
  EXPECT_EQ((*rows)[0].tokens, 64);
  EXPECT_TRUE(std::isnan((*rows)[1].loss));
}

TEST(Metrics, DropAfterACheckpoint) {
  std::string path = Fresh();
  {
    auto writer = MetricsWriter::Open(path);
    for (int64_t step = 1; step <= 5; ++step) {
      ASSERT_TRUE(writer->WriteTrain({.step = step, .loss = 1.0 / 3}).ok());
      ASSERT_TRUE(writer->WriteVal(step, 2).ok());
    }
  }
  Append(path, "{\"split\":\"train\",\"step\":6,\"lo");
  ASSERT_TRUE(DropMetricsAfter(path, 3).ok());
  auto rows = ReadMetrics(path);
  ASSERT_EQ(rows->size(), 6u);
  EXPECT_EQ(rows->back().step, 3);
  EXPECT_EQ(rows->front().loss, 1.0 / 3);
  auto writer = MetricsWriter::Open(path);
  ASSERT_TRUE(writer->WriteTrain({.step = 4}).ok());
  EXPECT_EQ(ReadMetrics(path)->size(), 7u);
  ASSERT_TRUE(DropMetricsAfter(path, 0).ok());
  EXPECT_EQ(*ReadFileToString(path), "");
  EXPECT_TRUE(DropMetricsAfter(path + ".none", 0).ok());
}

TEST(Metrics, APartialLastLineIsCutOff) {
  std::string path = Fresh();
  Append(path, "{\"split\":\"val\",\"step\":1,\"loss\":1}\n{\"split\":");
  auto writer = MetricsWriter::Open(path);
  ASSERT_TRUE(writer->WriteVal(2, 1).ok());
  EXPECT_EQ(ReadMetrics(path)->size(), 2u);
}

TEST(Metrics, OddLinesAreLeftOut) {
  std::string path = Fresh();
  Append(path,
         "\n[]\n{\"step\":\"x\",\"split\":\"train\"}\n{\"step\":1}\n\xff\n{\"split\":\"train\",\"step\":1,\"loss\":"
         "\"x\"}\n");
  auto rows = ReadMetrics(path);
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_TRUE(std::isnan(rows->front().loss));
  EXPECT_FALSE(ReadMetrics("/nowhere").ok());
  EXPECT_FALSE(MetricsWriter::Open("/nowhere/x").ok());
}

}  // namespace
}  // namespace gptc
