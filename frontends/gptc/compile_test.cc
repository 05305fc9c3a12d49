// gptc compile under a memory budget: what it takes, refuses and advises, by exit code and message.
#include "frontends/gptc/compile.h"

#include <vector>

#include "frontends/common/byte_size.h"
#include "frontends/common/thread_count.h"
#include "frontends/gptc/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"
#include "runtime/plan/workspace.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CompileCommands : public ::testing::Test {
 protected:
  CompileCommands() {
    EXPECT_TRUE(RemoveAll(folder_).ok());
    EXPECT_TRUE(MakeDirectories(folder_).ok());
    EXPECT_EQ(Run({"model", "gpt2", "--set", "layers=4", "--set", "heads=2", "--set", "width=128", "--set",
                   "context=64", "--set", "vocab=65", "-o", graph_}),
              0);
  }

  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), "gptc");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::unique_ptr<Subcommand>> commands;
    commands.push_back(MakeCompileCommand());
    commands.push_back(MakeModelCommand());
    ::testing::internal::CaptureStderr();
    const int code = RunProgram({.name = "gptc"}, std::move(commands), static_cast<int>(words.size()), argv.data());
    error_ = ::testing::internal::GetCapturedStderr();
    return code;
  }
  int Compile(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"compile", graph_, "-o", plan_});
    return Run(std::move(flags));
  }
  int64_t Peak() {
    StatusOr<std::unique_ptr<plan::PlanT>> plan = ReadPlan(plan_);
    EXPECT_TRUE(plan.ok()) << Message(plan.status());
    return plan.ok() ? PeakBytes(**plan, ThreadCountHere()) : 0;
  }
  int64_t Batch() { return DimensionOf(**ReadPlan(plan_), "B"); }

  std::string folder_ = ::testing::TempDir() + "/compile_commands", graph_ = folder_ + "/m.graph",
              plan_ = folder_ + "/m.fb", error_;
};

TEST_F(CompileCommands, ABudgetIsMetByComputingAgain) {
  ASSERT_EQ(Compile({"--batch", "16"}), 0) << error_;
  const int64_t peak = Peak();
  const int64_t budget = peak - (4 << 20);
  ASSERT_EQ(Compile({"--batch", "16", "--remarks", "--memory-budget", Cat(budget)}), 0) << error_;
  EXPECT_LE(Peak(), budget);
  EXPECT_THAT(error_, HasSubstr("computed again in the backward"));
  ASSERT_EQ(Compile({"--batch", "16", "--remarks", "--memory-budget", "1TiB"}), 0) << error_;
  EXPECT_EQ(Peak(), peak);
  EXPECT_THAT(error_, Not(HasSubstr("computed again")));
}

TEST_F(CompileCommands, ABudgetThatCannotBeMetNamesTheLeastThatCan) {
  ASSERT_EQ(Compile({"--batch", "64", "--memory-budget", "40MiB"}), 3);
  EXPECT_THAT(error_, HasSubstr("at least; give that as --memory-budget, or --batch "));
  EXPECT_FALSE(IsRegularFile(plan_));
  const size_t open = error_.find(" ("), close = error_.find(" bytes) at least");
  ASSERT_TRUE(open != std::string::npos && close != std::string::npos) << error_;
  std::string least = error_.substr(open + 2, close - open - 2);
  std::erase(least, ',');
  EXPECT_EQ(Compile({"--batch", "64", "--memory-budget", least}), 0) << error_;
  EXPECT_EQ(Compile({"--batch", "64", "--memory-budget", Cat(std::stoll(least) - 1)}), 3);
  EXPECT_EQ(Compile({"--memory-budget", "1"}), 3);
  EXPECT_THAT(error_, HasSubstr("--batch 1 takes "));
}

TEST_F(CompileCommands, TheLargestBatchIsFound) {
  for (const char* budget : {"40MiB", "64MiB", "100MB"}) {
    ASSERT_EQ(Compile({"--batch", "auto", "--memory-budget", budget}), 0) << error_;
    const int64_t batch = Batch();
    EXPECT_THAT(error_, HasSubstr(Cat("batch ", batch, ": the largest that fits")));
    EXPECT_LE(Peak(), *ParseByteSize("", budget));
    EXPECT_EQ(Compile({"--batch", Cat(batch + 1), "--memory-budget", budget}), 3) << batch;
    EXPECT_THAT(error_, HasSubstr(Cat("--batch ", batch, ", the largest that fits")));
  }
  EXPECT_EQ(Compile({"--batch", "auto", "--memory-budget", "1MiB"}), 3);
  EXPECT_THAT(error_, HasSubstr("a batch of 1 takes "));
  EXPECT_EQ(Compile({"--memory-budget", "auto"}), 0) << error_;
}

TEST_F(CompileCommands, NonsenseIsUsage) {
  for (const char* size : {"6XiB", "", "-3GiB", "GiB", "1e400", "0", "6 Gi B x", "nan", "99999999TiB"}) {
    EXPECT_EQ(Compile({"--memory-budget", size}), 2) << size;
    EXPECT_THAT(error_, HasSubstr("--memory-budget")) << size;
  }
  for (const char* batch : {"0", "-1", "some", "1.5", "2000000", "auto1"}) {
    EXPECT_EQ(Compile({"--batch", batch}), 2) << batch;
    EXPECT_THAT(error_, HasSubstr("--batch")) << batch;
  }
}

TEST(ByteSize, ReadsUnits) {
  for (const auto& [text, bytes] : {std::pair<const char*, int64_t>{"1", 1},
                                    {"4096", 4096},
                                    {"6GiB", int64_t{6} << 30},
                                    {"1.5 KiB", 1536},
                                    {"2mb", 2'000'000},
                                    {"3MiB", 3 << 20},
                                    {"1kB", 1000},
                                    {"0.5TB", 500'000'000'000},
                                    {"12B", 12}}) {
    StatusOr<int64_t> parsed = ParseByteSize("--size", text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << Message(parsed.status());
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

}  // namespace
}  // namespace gptc
