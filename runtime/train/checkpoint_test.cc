#include "runtime/train/checkpoint.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"
#include "runtime/formats/xxh.h"

namespace gptc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Fresh(const std::string& name) {
  std::string run = ::testing::TempDir() + "/checkpoint_test_" + name;
  EXPECT_TRUE(RemoveAll(run).ok());
  return run;
}

CheckpointContent Content(int64_t step, const std::vector<float>& values, bool best = false) {
  CheckpointContent content;
  content.step = step;
  TensorToWrite tensor{"w", ElementType::kF32, {static_cast<int64_t>(values.size())}, values.data(), nullptr};
  content.tensors = {{kModelFile, {tensor}}, {OptimizerFile(0), {tensor}}};
  content.state = {{"step", step}};
  content.files = {{"config.json", "{}"}};
  content.best = best;
  return content;
}

std::vector<std::string> Names(const std::string& run) { return *ListDirectory(run + "/checkpoints"); }

TEST(Checkpoint, WriteAndOpen) {
  std::string run = Fresh("write");
  std::vector<float> values = {1, 2, 3};
  auto writer = CheckpointWriter::Open(run, 3);
  ASSERT_TRUE(writer.ok()) << writer.status();
  auto folder = writer->Write(Content(7, values));
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(Names(run), ElementsAre("latest", "step-00000007"));
  EXPECT_THAT(*ListDirectory(*folder), ElementsAre("checksums.xxh", "config.json", "model.safetensors",
                                                   "optimizer-r0.safetensors", "state.json"));
  for (const std::string& path : {run, *folder, run + "/checkpoints/latest"}) {
    auto open = Checkpoint::Open(path);
    ASSERT_TRUE(open.ok()) << open.status();
    EXPECT_EQ(open->state()["step"], 7);
    EXPECT_EQ(std::memcmp(open->model().Find("w")->bytes.data(), values.data(), 12), 0);
    EXPECT_NE(open->Tensors(OptimizerFile(0))->Find("w"), nullptr);
    EXPECT_EQ(open->Tensors(OptimizerFile(1)).status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(*open->Text("config.json"), "{}");
  }
}

TEST(Checkpoint, KeepsTheNewestAndTheBest) {
  std::string run = Fresh("keep");
  std::vector<float> values = {1};
  auto writer = CheckpointWriter::Open(run, 2);
  for (int64_t step = 1; step <= 5; ++step) ASSERT_TRUE(writer->Write(Content(step, values, step == 2)).ok());
  EXPECT_THAT(Names(run), ElementsAre("best", "latest", "step-00000002", "step-00000004", "step-00000005"));
  EXPECT_EQ(std::filesystem::read_symlink(run + "/checkpoints/best"), "step-00000002");
  // Going back to an earlier step: what was just written is the latest, and stays.
  ASSERT_TRUE(writer->Write(Content(1, values)).ok());
  EXPECT_EQ(Checkpoint::Open(run)->state()["step"], 1);
}

TEST(Checkpoint, TheSameStepIsReplaced) {
  std::string run = Fresh("again");
  auto writer = CheckpointWriter::Open(run, 3);
  std::vector<float> old_values = {1}, values = {2, 3};
  ASSERT_TRUE(writer->Write(Content(4, old_values)).ok());
  ASSERT_TRUE(writer->Write(Content(4, values)).ok());
  EXPECT_EQ(Checkpoint::Open(run)->model().Find("w")->elements(), 2);
  EXPECT_THAT(Names(run), ElementsAre("latest", "step-00000004"));
}

TEST(Checkpoint, LeftoversAreRemovedAndADanglingLinkIsNoHarm) {
  std::string run = Fresh("left");
  std::vector<float> values = {1};
  auto writer = CheckpointWriter::Open(run, 9);
  for (int64_t step : {1, 2, 3}) ASSERT_TRUE(writer->Write(Content(step, values)).ok());
  ASSERT_TRUE(MakeDirectories(run + "/checkpoints/step-00000004.tmp").ok());
  std::ofstream(run + "/checkpoints/step-00000004.tmp/model.safetensors") << "x";
  ASSERT_TRUE(CheckpointWriter::Open(run, 9).ok());
  EXPECT_THAT(Names(run), ElementsAre("latest", "step-00000001", "step-00000002", "step-00000003"));
  ASSERT_TRUE(AtomicSymlink("step-00000009", run + "/checkpoints/latest").ok());
  EXPECT_EQ(Checkpoint::Open(run)->state()["step"], 3);
  ASSERT_TRUE(RemoveAll(run + "/checkpoints/latest").ok());
  std::ofstream(run + "/checkpoints/step-00000003/config.json") << "damaged";
  EXPECT_EQ(Checkpoint::Open(run)->state()["step"], 2);
}

TEST(Checkpoint, NothingThere) {
  std::string run = Fresh("none");
  EXPECT_EQ(*LatestCheckpoint(run), std::nullopt);
  EXPECT_EQ(Checkpoint::Open(run).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(CheckpointWriter::Open(run, 1).ok());
  EXPECT_EQ(*LatestCheckpoint(run), std::nullopt);
  EXPECT_EQ(Checkpoint::Open(run).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Checkpoint::Open(::testing::TempDir()).status().code(), absl::StatusCode::kNotFound);
}

TEST(Checkpoint, EveryDamagedFileIsNamed) {
  std::string run = Fresh("damage");
  std::vector<float> values(100, 1);
  auto writer = CheckpointWriter::Open(run, 3);
  const std::string folder = *writer->Write(Content(1, values));
  const std::vector<std::string> names = *ListDirectory(folder);
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name, good = *ReadFileToString(path);
    std::string flipped = good;
    flipped[good.size() / 2] ^= 4;
    for (const std::string& text :
         {std::string(), good.substr(0, good.size() / 2), flipped, std::string(300, '\xa5')}) {
      std::ofstream(path, std::ios::binary) << text;
      Status status = Checkpoint::Open(run).status();
      EXPECT_EQ(ExitCode(status), 3) << name;
      EXPECT_THAT(Message(status), HasSubstr(name == kChecksumsFile ? "" : name));
    }
    ASSERT_TRUE(RemoveAll(path).ok());
    Status status = Checkpoint::Open(folder).status();
    EXPECT_EQ(ExitCode(status), 3) << name;
    EXPECT_THAT(Message(status), HasSubstr(name));
    std::ofstream(path, std::ios::binary) << good;
  }
  EXPECT_TRUE(Checkpoint::Open(run).ok());
}

TEST(Checkpoint, AWriteThatFailsLeavesThePreviousOne) {
  std::string run = Fresh("full");
  std::vector<float> small(10, 1), large(100000, 1);
  auto writer = CheckpointWriter::Open(run, 3);
  ASSERT_TRUE(writer->Write(Content(1, small)).ok());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limited = before;
  limited.rlim_cur = 100000;
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  Status status = writer->Write(Content(2, large)).status();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(ExitCode(status), 1);
  EXPECT_THAT(Message(status), HasSubstr("step 2"));
  EXPECT_THAT(Message(status), HasSubstr("File too large"));
  EXPECT_THAT(Names(run), ElementsAre("latest", "step-00000001"));
  EXPECT_EQ(Checkpoint::Open(run)->state()["step"], 1);
}

}  // namespace
}  // namespace gptc
