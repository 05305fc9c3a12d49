#include "frontends/common/command.h"

#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <new>

#include "frontends/common/settings.h"
#include "frontends/common/terminal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Values {
  std::string plan, resume = "no", prompt = "none", resolved;
  std::vector<std::string> disable;
  int64_t warmup = 7, grad_accum = 1;
  double lr = 6e-4;
  bool json = false;
  int runs = 0;
};

class Train : public Subcommand {
 public:
  explicit Train(Values& values) : v_(values) {}
  std::string name() const override { return "train"; }
  std::string summary() const override { return "trains a model"; }
  void Declare(CLI::App& app) override {
    app_ = &app;
    app.add_option("plan", v_.plan, "what gptc compile wrote")->required();
    app.add_option("--lr", v_.lr, "learning rate")->group("Schedule");
    app.add_option("--warmup", v_.warmup, "steps of linear warmup")->group("Schedule");
    app.add_option("--grad-accum", v_.grad_accum, "micro-steps a step");
    app.add_option("--resume", v_.resume, "goes on")->expected(0, 1)->default_str("latest");
    app.add_option("--disable", v_.disable, "a pass to leave out");
    app.add_option("--prompt,-p", v_.prompt, "text");
    app.add_flag("--json", v_.json, "machine-readable");
    app.footer("Example:\n  prog train plan.fb");
  }
  Status Run() override {
    ++v_.runs;
    v_.resolved = ResolvedToml(*app_);
    if (v_.plan == "memory") throw std::bad_alloc();
    if (v_.plan == "missing") return NotFound("no plan");
    return OkStatus();
  }

 private:
  Values& v_;
  CLI::App* app_ = nullptr;
};

class Eval : public Subcommand {
 public:
  std::string name() const override { return "eval"; }
  std::string summary() const override { return "evaluates"; }
  void Declare(CLI::App&) override {}
  Status Run() override { return OkStatus(); }
};

struct Outcome {
  int code;
  std::string out, err;
  Values values;
};

Outcome RunWords(std::vector<std::string> words) {
  Outcome outcome;
  std::vector<std::unique_ptr<Subcommand>> commands;
  commands.push_back(std::make_unique<Train>(outcome.values));
  commands.push_back(std::make_unique<Eval>());
  words.insert(words.begin(), "prog");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  outcome.code = RunProgram({"prog", "a program", "Example:\n  prog train x"}, std::move(commands),
                            static_cast<int>(argv.size()), argv.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  SetVerbosity(0);
  return outcome;
}

class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~ScopedVariable() { unsetenv(name_); }

 private:
  const char* name_;
};

std::string WriteConfig(const std::string& text) {
  std::string path = ::testing::TempDir() + "/command_test.toml";
  std::ofstream(path) << text;
  return path;
}

TEST(Command, Defaults) {
  Outcome o = RunWords({"train", "p.fb"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.values.plan, "p.fb");
  EXPECT_EQ(o.values.lr, 6e-4);
  EXPECT_EQ(o.values.warmup, 7);
  EXPECT_EQ(o.values.resume, "no");
}

TEST(Command, FlagsOfEachKind) {
  Outcome o = RunWords({"train", "--lr=1e-3", "p.fb", "--warmup", "3", "--disable", "a", "--disable=b", "--json", "-p",
                        "--lr", "--resume"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.values.lr, 1e-3);
  EXPECT_EQ(o.values.warmup, 3);
  EXPECT_THAT(o.values.disable, ElementsAre("a", "b"));
  EXPECT_TRUE(o.values.json);
  EXPECT_EQ(o.values.prompt, "--lr");
  EXPECT_EQ(o.values.resume, "latest");
  EXPECT_EQ(RunWords({"train", "p.fb", "--resume", "ck"}).values.resume, "ck");
  EXPECT_EQ(RunWords({"train", "p.fb", "--resume=auto"}).values.resume, "auto");
  EXPECT_EQ(RunWords({"train", "--disable", "a", "p.fb"}).values.plan, "p.fb");
}

TEST(Command, EmptyAndOddValues) {
  Outcome o = RunWords({"train", "p.fb", "--prompt=", "--json"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.values.prompt, "");
  EXPECT_TRUE(o.values.json);
  EXPECT_EQ(RunWords({"train", "p.fb", "--prompt", ""}).values.prompt, "");
  EXPECT_EQ(RunWords({"train", "p.fb", "--prompt", "[a, b]"}).values.prompt, "[a, b]");
  EXPECT_EQ(RunWords({"train", "p.fb", "--prompt=a=b"}).values.prompt, "a=b");
  EXPECT_EQ(RunWords({"train", "p.fb", "--warmup", "-5"}).values.warmup, -5);
  EXPECT_EQ(RunWords({"train", "--", "-x"}).values.plan, "-x");
}

TEST(Command, MisspeltIsTwoAndSaysWhatWasMeant) {
  Outcome o = RunWords({"train", "p.fb", "--warmpu", "3"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, StartsWith("prog: error: unknown flag --warmpu; did you mean --warmup?"));
  EXPECT_EQ(o.values.runs, 0);
  o = RunWords({"trian"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("did you mean train?"));
  o = RunWords({"train", "p", "-z"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("-z"));
  EXPECT_EQ(RunWords({}).code, 2);
  EXPECT_EQ(RunWords({"--versoin"}).code, 2);
}

TEST(Command, BadValuesNameTheFlagAndWhereTheyCameFrom) {
  Outcome o = RunWords({"train", "p", "--lr", "fast"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("bad value 'fast' for --lr: a number is expected"));
  o = RunWords({"train", "p", "--warmup", "1.5"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("--warmup: a whole number is expected"));
  EXPECT_EQ(RunWords({"train", "p", "--warmup", "99999999999999999999"}).code, 2);
  EXPECT_EQ(RunWords({"train", "p", "--warmup", "0x10"}).code, 2);
  EXPECT_EQ(RunWords({"train", "p", "--warmup", "010"}).code, 2);
  EXPECT_EQ(RunWords({"train", "p", "--lr", "nan"}).code, 2);
  o = RunWords({"train", "p", "--lr"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("--lr"));
  o = RunWords({"train"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("plan"));
  EXPECT_EQ(RunWords({"train", "a", "b"}).code, 2);
  ScopedVariable variable("GPTC_GRAD_ACCUM", "many");
  o = RunWords({"train", "p"});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("--grad-accum"));
  EXPECT_THAT(o.err, HasSubstr("(from GPTC_GRAD_ACCUM)"));
}

TEST(Command, FlagBeforeEnvironmentBeforeConfigBeforeDefault) {
  std::string config = WriteConfig("lr = 1e-2\ngrad_accum = 5\n[optimizer]\nwarmup = 11\n[eval]\nbatches = 3\n");
  ScopedVariable variable("GPTC_GRAD_ACCUM", "9");
  Outcome o = RunWords({"train", "p", "--config", config, "--lr", "0.5"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.values.lr, 0.5);
  EXPECT_EQ(o.values.grad_accum, 9);
  EXPECT_EQ(o.values.warmup, 11);
}

TEST(Command, ConfigSetsEveryKind) {
  std::string config =
      WriteConfig("plan = 'x.fb'\nresume = true\njson = true\ndisable = ['a', 'b']\nprompt = \"say \\\"hi\\\"\"\n");
  Outcome o = RunWords({"train", "--config=" + config});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.values.plan, "x.fb");
  EXPECT_EQ(o.values.resume, "latest");
  EXPECT_TRUE(o.values.json);
  EXPECT_THAT(o.values.disable, ElementsAre("a", "b"));
  EXPECT_EQ(o.values.prompt, "say \"hi\"");
}

TEST(Command, ConfigErrorsNameFileAndLine) {
  Outcome o = RunWords({"train", "p", "--config", WriteConfig("lr = 1\n\nwarmpu = 3\n")});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("command_test.toml:3: unknown key 'warmpu'; did you mean warmup?"));
  o = RunWords({"train", "p", "--config", WriteConfig("lr = 'fast'\n")});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("command_test.toml:1)"));
  o = RunWords({"train", "p", "--config", WriteConfig("a = 1\nlr = = 3\n")});
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("command_test.toml:2"));
  EXPECT_EQ(RunWords({"train", "p", "--config", WriteConfig("lr = 1\n[x]\nlr = 2\n")}).code, 2);
  EXPECT_EQ(RunWords({"train", "p", "--config", "/nowhere.toml"}).code, 3);
}

TEST(Command, ResolvedSettingsReadBack) {
  Outcome o = RunWords({"train", "p.fb", "--lr", "0.00123456789", "--prompt", "a \"b\"", "--disable", "x", "--json"});
  EXPECT_THAT(o.values.resolved, HasSubstr("warmup = 7\n"));
  Outcome again = RunWords({"train", "--config", WriteConfig(o.values.resolved)});
  EXPECT_EQ(again.code, 0) << again.err << o.values.resolved;
  EXPECT_EQ(again.values.plan, "p.fb");
  EXPECT_EQ(again.values.lr, 0.00123456789);
  EXPECT_EQ(again.values.prompt, "a \"b\"");
  EXPECT_THAT(again.values.disable, ElementsAre("x"));
  EXPECT_TRUE(again.values.json);
}

TEST(Command, HelpAndVersion) {
  Outcome o = RunWords({"--help"});
  EXPECT_EQ(o.code, 0);
  EXPECT_THAT(o.out, HasSubstr("trains a model"));
  EXPECT_TRUE(o.out.ends_with("prog train x\n"));
  o = RunWords({"train", "--lr", "fast", "--help"});
  EXPECT_EQ(o.code, 0);
  EXPECT_THAT(o.out, HasSubstr("Schedule:"));
  EXPECT_TRUE(o.out.ends_with("prog train plan.fb\n")) << o.out;
  EXPECT_EQ(RunWords({"help", "train"}).out, o.out);
  EXPECT_THAT(RunWords({"--version"}).out, StartsWith("prog "));
}

TEST(Command, ExitCodes) {
  Outcome o = RunWords({"train", "missing"});
  EXPECT_EQ(o.code, 3);
  EXPECT_EQ(o.err, "prog: error: no plan\n");
  EXPECT_EQ(RunWords({"train", "memory"}).code, 4);
}

TEST(Terminal, WriteOutput) {
  std::string path = ::testing::TempDir() + "/output_test";
  ASSERT_TRUE(WriteOutput(path, "hello").ok());
  EXPECT_EQ(*ReadFileToString(path), "hello");
  EXPECT_EQ(ExitCode(WriteOutput("/nowhere/at/all", "x")), 3);
  Status full = WriteOutput("/dev/full", "x");
  EXPECT_EQ(ExitCode(full), 1);
  EXPECT_THAT(Message(full), HasSubstr("/dev/full"));
}

}  // namespace
}  // namespace gptc
