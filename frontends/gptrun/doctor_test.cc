#include "frontends/gptrun/doctor.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gptc {
namespace {

std::string Doctor(std::vector<std::string> words) {
  words.insert(words.begin(), {"gptrun", "doctor"});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  std::vector<std::unique_ptr<Subcommand>> commands;
  commands.push_back(MakeDoctorCommand());
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(RunProgram({"gptrun", "", ""}, std::move(commands), static_cast<int>(argv.size()), argv.data()), 0);
  return ::testing::internal::GetCapturedStdout();
}

TEST(Doctor, Json) {
  auto report = nlohmann::json::parse(Doctor({"--json", "--skip-ceilings"}), nullptr, false);
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report["versions"]["gptrun"], GPTC_VERSION);
  EXPECT_GE(report["cores"].get<int>(), 1);
  EXPECT_GE(report["libraries"].size(), 10u);
  for (const auto& library : report["libraries"]) EXPECT_NE(library["version"], "") << library;
  EXPECT_TRUE(report["gpus"].is_array());
  for (const auto& library : report["cuda_libraries"]) {
    EXPECT_TRUE(library.contains("path") != library.contains("missing")) << library;
  }
  EXPECT_FALSE(report.contains("ceilings"));
}

TEST(Doctor, Text) {
  std::string text = Doctor({"--skip-ceilings"});
  for (const char* part : {"oneDNN", "flatbuffers", "GPUs", "Libraries for GPUs", "threads"})
    EXPECT_THAT(text, ::testing::HasSubstr(part));
}

}  // namespace
}  // namespace gptc
