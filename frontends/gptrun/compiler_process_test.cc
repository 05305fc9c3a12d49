#include "frontends/gptrun/compiler_process.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

Status Shell(const std::string& script) { return RunProgramAndWait("/bin/sh", {"-c", script}, ::testing::TempDir()); }

TEST(CompilerProcess, ExitCodesBecomeTheirStatus) {
  EXPECT_TRUE(Shell("exit 0").ok());
  EXPECT_EQ(ExitCode(Shell("exit 1")), 1);
  EXPECT_EQ(ExitCode(Shell("exit 2")), 1);  // our words, not the user's
  EXPECT_EQ(ExitCode(Shell("exit 3")), 3);
  EXPECT_EQ(ExitCode(Shell("exit 4")), 4);
  EXPECT_EQ(ExitCode(Shell("exit 130")), 130);
  const Status killed = Shell("kill -9 $$");
  EXPECT_EQ(ExitCode(killed), 1);
  EXPECT_THAT(Message(killed), HasSubstr("signal 9"));
}

TEST(CompilerProcess, NoShellReadsTheWordsAndTheFolderIsTheOneNamed) {
  const std::string name = "gptc test; $(exit) 'x'";
  EXPECT_TRUE(RunProgramAndWait("/bin/touch", {name}, ::testing::TempDir()).ok());
  EXPECT_TRUE(IsRegularFile(JoinPath(::testing::TempDir(), name)));
  EXPECT_TRUE(RemoveAll(JoinPath(::testing::TempDir(), name)).ok());
}

TEST(CompilerProcess, StandardOutputStaysOurs) {
  ::testing::internal::CaptureStdout();
  EXPECT_TRUE(Shell("echo for standard error").ok());
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST(CompilerProcess, WhatIsMissingIsSaid) {
  EXPECT_FALSE(RunProgramAndWait("/no/such/program", {}, "/").ok());
  const auto compiler = CompilerBeside();  // tests do not lie beside the programs
  EXPECT_EQ(compiler.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(compiler.status()), HasSubstr("/gptc'"));
  EXPECT_TRUE(absl::IsNotFound(EnsurePlan(::testing::TempDir() + "/no_such_run")));
  const std::string empty = ::testing::TempDir() + "/run_without_checkpoint";
  ASSERT_TRUE(MakeDirectories(empty + "/checkpoints").ok());
  EXPECT_THAT(Message(EnsurePlan(empty)), HasSubstr("no checkpoint"));
}

}  // namespace
}  // namespace gptc
