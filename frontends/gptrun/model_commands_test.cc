// What sample, eval, import, export and profile refuse, by exit code and message.
#include <vector>

#include "frontends/gptrun/eval.h"
#include "frontends/gptrun/export.h"
#include "frontends/gptrun/import.h"
#include "frontends/gptrun/profile.h"
#include "frontends/gptrun/sample.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

class ModelCommands : public ::testing::Test {
 protected:
  ModelCommands() {
    EXPECT_TRUE(RemoveAll(folder_).ok());
    EXPECT_TRUE(MakeDirectories(folder_).ok());
  }
  std::string At(const std::string& name) const { return JoinPath(folder_, name); }
  void Write(const std::string& name, const std::string& text) {
    if (const size_t slash = name.rfind('/'); slash != std::string::npos) {
      ASSERT_TRUE(MakeDirectories(At(name.substr(0, slash))).ok());
    }
    ASSERT_TRUE(AtomicWriteFile(At(name), text).ok());
  }

  // Exit code; what was said on standard error is in error_.
  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), "gptrun");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::unique_ptr<Subcommand>> commands;
    commands.push_back(MakeSampleCommand());
    commands.push_back(MakeEvalCommand());
    commands.push_back(MakeImportCommand());
    commands.push_back(MakeExportCommand());
    commands.push_back(MakeProfileCommand());
    ::testing::internal::CaptureStderr();
    const int code = RunProgram({.name = "gptrun"}, std::move(commands), static_cast<int>(words.size()), argv.data());
    error_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  std::string folder_ = ::testing::TempDir() + "/model_commands", error_;
};

TEST_F(ModelCommands, FlagsOutOfRangeAreUsage) {
  EXPECT_EQ(Run({"sample", At("run"), "--temperature", "-1"}), 2);
  EXPECT_EQ(Run({"sample", At("run"), "--top-p", "0"}), 2);
  EXPECT_EQ(Run({"sample", At("run"), "--max-new-tokens", "-1"}), 2);
  EXPECT_EQ(Run({"sample", At("run"), "--prompt", "a", "--prompt-file", "b"}), 2);
  EXPECT_EQ(Run({"eval", At("run")}), 2);
  EXPECT_THAT(error_, HasSubstr("--data"));
  EXPECT_EQ(Run({"eval", At("run"), "--data", "d", "--hellaswag", "h"}), 2);
  EXPECT_EQ(Run({"eval", At("run"), "--hellaswag", "h", "--per-token", "x.npy"}), 2);
  EXPECT_EQ(Run({"export", At("run"), "--format", "onnx", "-o", At("x")}), 2);
  EXPECT_EQ(Run({"export", At("run"), "--format", "hf", "--dtype", "f8", "-o", At("x")}), 2);
  EXPECT_EQ(Run({"profile", At("plan.fb"), "--steps", "0"}), 2);
}

TEST_F(ModelCommands, WhatIsNoRunIsNamed) {
  for (const char* command : {"sample", "eval", "export"}) {
    std::vector<std::string> words = {command, At("nowhere")};
    if (words[0] == "eval") words.insert(words.end(), {"--data", At("d")});
    if (words[0] == "export") words.insert(words.end(), {"--format", "hf", "-o", At("x")});
    EXPECT_EQ(Run(words), 3) << command;
    EXPECT_THAT(error_, HasSubstr(At("nowhere")));
    words[1] = folder_;  // a folder, and no run
    EXPECT_EQ(Run(words), 3) << command;
  }
  EXPECT_EQ(Run({"profile", At("nowhere.fb")}), 3);
  Write("plan.fb", "GPTP and nothing good behind it");
  EXPECT_EQ(Run({"profile", At("plan.fb")}), 3);
  EXPECT_EQ(Run({"sample", folder_}), 3);  // a run by its plan, which is damaged
  EXPECT_THAT(error_, HasSubstr("plan.fb"));
}

TEST_F(ModelCommands, ImportSaysWhatIsMissingAndLeavesNothing) {
  const std::string out = At("run");
  EXPECT_EQ(Run({"import", At("nowhere"), "-o", out}), 3);
  EXPECT_EQ(Run({"import", folder_, "-o", out}), 3);
  EXPECT_THAT(error_, HasSubstr("config.json"));
  Write("hf/config.json", R"({"model_type": "gpt2", "n_layer": 1})");
  EXPECT_EQ(Run({"import", At("hf"), "-o", out}), 3);
  EXPECT_THAT(error_, HasSubstr("model.safetensors"));
  Write("hf/pytorch_model.bin", "PK");
  EXPECT_EQ(Run({"import", At("hf"), "-o", out}), 3);
  EXPECT_THAT(error_, HasSubstr("safe_serialization"));
  EXPECT_EQ(Run({"import", At("hf/pytorch_model.bin"), "-o", out}), 3);
  Write("hf/model.safetensors", "damaged");
  EXPECT_EQ(Run({"import", At("hf"), "-o", out}), 3);
  EXPECT_THAT(error_, HasSubstr("model.safetensors"));
  Write("full/file", "x");
  EXPECT_EQ(Run({"import", At("hf"), "-o", At("full")}), 3);
  EXPECT_THAT(error_, HasSubstr("not empty"));
  EXPECT_EQ(Run({"export", At("hf"), "--format", "hf", "-o", At("full")}), 3);
  EXPECT_EQ(ListDirectory(folder_).value(), (std::vector<std::string>{"full", "hf"}));
}

}  // namespace
}  // namespace gptc
