// The commands that show what a plan does, from the command line to what they print: inspect, explain, diff, dot,
// opt, --print-after and profile, on a small GPT-2.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "frontends/common/command.h"
#include "frontends/gptc/compile.h"
#include "frontends/gptc/diff.h"
#include "frontends/gptc/dot.h"
#include "frontends/gptc/explain.h"
#include "frontends/gptc/inspect.h"
#include "frontends/gptc/model.h"
#include "frontends/gptc/pipeline.h"
#include "frontends/gptrun/profile.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gptc {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class Seeing : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::filesystem::create_directories(Folder());
    ASSERT_EQ(Run({"model", "gpt2", "--set", "layers=2", "--set", "heads=2", "--set", "width=32", "--set", "context=16",
                   "--set", "vocab=50", "-o", At("m.graph")}),
              0)
        << error_;
    ASSERT_EQ(Run({"compile", At("m.graph"), "-o", At("a.fb"), "--batch", "2"}), 0) << error_;
    ASSERT_EQ(Run({"compile", At("m.graph"), "-o", At("b.fb"), "--batch", "2", "--disable", "fuse_attention"}), 0)
        << error_;
  }

  static std::string Folder() { return ::testing::TempDir() + "/seeing"; }
  static std::string At(const std::string& name) { return Folder() + "/" + name; }

  // Runs a command of either program; what it wrote is in out_ and error_.
  static int Run(std::vector<std::string> words) {
    words.insert(words.begin(), "gptc");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    std::vector<std::unique_ptr<Subcommand>> commands;
    for (auto make : {&MakeModelCommand, &MakeCompileCommand, &MakeOptCommand, &MakeInspectCommand, &MakeExplainCommand,
                      &MakeDiffCommand, &MakeDotCommand, &MakeProfileCommand}) {
      commands.push_back(make());
    }
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunProgram({.name = "gptc"}, std::move(commands), static_cast<int>(words.size()), argv.data());
    out_ = ::testing::internal::GetCapturedStdout();
    error_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  static std::string Read(const std::string& name) {
    std::ifstream file(At(name));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  static inline std::string out_, error_;
};

TEST_F(Seeing, ExplainCountsPlacesAndSaysWhatWasGained) {
  ASSERT_EQ(Run({"explain", At("a.fb")}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("fuse_attention            2 of 2"));
  EXPECT_THAT(out_, HasSubstr("moved a step"));
  ASSERT_EQ(Run({"explain", At("a.fb"), "--json"}), 0);
  const json all = json::parse(out_);
  for (const json& pass : all["passes"]) {
    if (pass["name"] != "fuse_attention") continue;
    EXPECT_EQ(pass["done"], 2);
    EXPECT_LT(pass["bytes_moved_change"], 0);
  }
  ASSERT_EQ(Run({"explain", At("a.fb"), "--json", "--no-gains"}), 0);
  const json without = json::parse(out_);
  for (const json& pass : without["passes"]) EXPECT_TRUE(pass["bytes_moved_change"].is_null());
}

TEST_F(Seeing, ExplainAnswersAboutOpsValuesParametersAndLines) {
  ASSERT_EQ(Run({"explain", At("a.fb"), "softmax"}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("fuse_attention"));
  EXPECT_THAT(out_, HasSubstr("runs as flash_attention (2 times)"));
  EXPECT_THAT(out_, HasSubstr("2 done: models/gpt2.cc:"));
  ASSERT_EQ(Run({"explain", At("a.fb"), "--json", "softmax"}), 0);
  const json about = json::parse(out_);
  std::string line;
  for (const json& remark : about["remarks"]) {
    if (remark["pass"] == "fuse_attention") line = remark["location"];
  }
  ASSERT_FALSE(line.empty());
  ASSERT_EQ(Run({"explain", At("a.fb"), line}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("fuse_attention"));
  ASSERT_EQ(Run({"explain", At("a.fb"), line.substr(line.find('/') + 1)}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("fuse_attention"));
  for (const char* parameter : {"h1.qkv.weight", "h*.qkv.weight"}) {
    ASSERT_EQ(Run({"explain", At("a.fb"), parameter}), 0) << error_;
    EXPECT_THAT(out_, HasSubstr("runs as"));
  }
}

TEST_F(Seeing, ExplainSuggestsForMisspeltWords) {
  EXPECT_EQ(Run({"explain", At("a.fb"), "sofmax"}), 2);
  EXPECT_THAT(error_, HasSubstr("did you mean 'softmax'?"));
  EXPECT_EQ(Run({"explain", At("a.fb"), "h1.qkv.wieght"}), 2);
  EXPECT_THAT(error_, HasSubstr("did you mean 'h1.qkv.weight'?"));
  EXPECT_EQ(Run({"explain", At("nowhere.fb")}), 3);
}

TEST_F(Seeing, InspectShowsWhoHoldsTheMemory) {
  ASSERT_EQ(Run({"inspect", At("a.fb"), "--memory", "-o", At("m.svg")}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("Arena over micro_step.only"));
  EXPECT_THAT(out_, HasSubstr("<- the peak"));
  EXPECT_THAT(out_, HasSubstr("f32[2, 16, 50]"));
  const std::string svg = Read("m.svg");
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("peak "));
  EXPECT_THAT(svg, HasSubstr("logits"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  ASSERT_EQ(Run({"inspect", At("a.fb"), "--memory", "--json"}), 0);
  const json facts = json::parse(out_);
  int64_t held = 0;
  for (const json& holder : facts["memory"]["holders"]) held += holder["bytes"].get<int64_t>();
  EXPECT_EQ(held, facts["memory"]["peak_bytes"]);
  EXPECT_LE(held, facts["arena_bytes"]);
  EXPECT_EQ(Run({"inspect", At("a.fb"), "-o", At("m.png")}), 2);
  EXPECT_EQ(Run({"inspect", At("a.fb"), "--entry", "udpate"}), 2);
  EXPECT_THAT(error_, HasSubstr("did you mean 'update'?"));
  // Every entry point can be drawn, those that hold nothing too.
  for (const char* entry : {"prepare", "update", "score", "decode"})
    EXPECT_EQ(Run({"inspect", At("a.fb"), "--entry", entry, "-o", At("e.svg")}), 0) << entry << error_;
}

TEST_F(Seeing, DiffListsWhatAPassChanged) {
  ASSERT_EQ(Run({"diff", At("a.fb"), At("a.fb")}), 0) << error_;
  EXPECT_EQ(out_, "The plans do not differ.\n");
  ASSERT_EQ(Run({"diff", At("b.fb"), At("a.fb")}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("- disable"));
  EXPECT_THAT(out_, HasSubstr("+ fuse_attention             2"));
  EXPECT_THAT(out_, HasSubstr("micro_step.first, micro_step.only"));
  EXPECT_THAT(out_, HasSubstr("+ flash_attention "));
  EXPECT_THAT(out_, HasSubstr("- softmax "));
  ASSERT_EQ(Run({"diff", At("b.fb"), At("a.fb"), "--json"}), 0);
  const json changes = json::parse(out_);
  EXPECT_EQ(changes["options"][0]["a"], "fuse_attention");
  EXPECT_TRUE(changes["options"][0]["b"].is_null());
  std::set<std::string> entries;
  for (const json& entry : changes["entries"]) {
    for (const json& name : entry["names"]) entries.insert(name);
    if (entry["names"][0] == "score") {
      EXPECT_LT(entry["b"]["bytes"], entry["a"]["bytes"]);
    }
  }
  EXPECT_TRUE(entries.contains("micro_step.middle") && entries.contains("score"));
  EXPECT_FALSE(entries.contains("update"));
}

TEST_F(Seeing, EveryStageIsWrittenAndReadBack) {
  std::filesystem::remove_all(At("dump"));
  ASSERT_EQ(Run({"compile", At("m.graph"), "-o", At("c.fb"), "--print-after", "all", "--dump-dir", At("dump")}), 0)
      << error_;
  size_t stages = 0;
  for (const auto& file : std::filesystem::directory_iterator(At("dump"))) {
    ++stages;
    const std::string name = "dump/" + file.path().filename().string();
    ASSERT_EQ(Run({"opt", At(name), "--passes", "", "-o", "-"}), 0) << name << ": " << error_;
    EXPECT_EQ(out_, Read(name)) << name;
  }
  EXPECT_EQ(stages, Pipeline().size() + 1);
  EXPECT_EQ(Run({"compile", At("m.graph"), "-o", At("c.fb"), "--print-after", "fuse_atention"}), 2);
  EXPECT_THAT(error_, HasSubstr("did you mean 'fuse_attention'?"));
  ASSERT_EQ(Run({"dot", At("m.graph"), "-o", "-"}), 0);
  EXPECT_THAT(out_, HasSubstr("digraph"));
}

TEST_F(Seeing, ProfileHoldsMeasurementAgainstPrediction) {
  ASSERT_EQ(Run({"profile", At("a.fb"), "--steps", "2", "--by-step"}), 0) << error_;
  EXPECT_THAT(out_, HasSubstr("ceilings, measured"));
  EXPECT_THAT(out_, HasSubstr("predicted ms"));
  EXPECT_THAT(out_, HasSubstr("micro_step.only"));
  ASSERT_EQ(Run({"profile", At("a.fb"), "--steps", "2", "--by-step", "--json"}), 0);
  const json profile = json::parse(out_);
  EXPECT_GT(profile["ceilings"]["f32_gflops"], 0);
  EXPECT_EQ(profile["entries"].size(), 2u);
  double kernels = 0, entries = 0;
  for (const json& kernel : profile["kernels"]) {
    EXPECT_GE(kernel["predicted_ms"], 0);
    kernels += kernel["ms"].get<double>();
  }
  for (const json& entry : profile["entries"]) {
    entries += entry["ms"].get<double>();
    EXPECT_GT(entry["predicted_ms"], 0);
    EXPECT_GE(entry["wall_ms"], entry["ms"]);
  }
  EXPECT_NEAR(kernels, entries, 1e-9 + 1e-6 * entries);
  EXPECT_EQ(Run({"profile", At("a.fb"), "--entry", "scor"}), 2);
  EXPECT_THAT(error_, HasSubstr("did you mean 'score'?"));
}

// The rules of the Trace Event Format for the events that the trace uses, and spans that nest as they must in one row.
TEST_F(Seeing, TheTraceIsWhatPerfettoReads) {
  ASSERT_EQ(Run({"profile", At("a.fb"), "--steps", "3", "--trace", At("t.json")}), 0) << error_;
  const json trace = json::parse(Read("t.json"));
  ASSERT_TRUE(trace.is_object() && trace["traceEvents"].is_array());
  EXPECT_EQ(trace["displayTimeUnit"], "ms");
  struct Span {
    double begin, end;
  };
  std::map<std::string, std::vector<Span>> spans;  // by category
  std::set<std::string> names;
  for (const json& event : trace["traceEvents"]) {
    const std::string phase = event.at("ph");
    ASSERT_TRUE(event.at("name").is_string() && event.at("pid").is_number_integer() && event.at("args").is_object());
    if (phase == "M") {
      names.insert(event["name"]);
      EXPECT_TRUE(event["args"].at("name").is_string());
      continue;
    }
    ASSERT_TRUE(event.at("ts").is_number());
    ASSERT_GE(event["ts"], 0);
    if (phase == "C") {
      EXPECT_TRUE(event["args"].at("live bytes").is_number_integer());
      continue;
    }
    ASSERT_EQ(phase, "X");
    ASSERT_TRUE(event.at("tid").is_number_integer() && event.at("dur").is_number() && event["dur"] >= 0);
    spans[event.at("cat")].push_back({event["ts"], event["ts"].get<double>() + event["dur"].get<double>()});
    if (event["cat"] != "kernel") continue;
    for (const char* key : {"types", "location"}) EXPECT_TRUE(event["args"].at(key).is_string());
    for (const char* key : {"flops", "bytes", "predicted_us"}) EXPECT_TRUE(event["args"].at(key).is_number());
  }
  EXPECT_EQ(names, (std::set<std::string>{"process_name", "thread_name"}));
  EXPECT_EQ(spans["step"].size(), 3u);
  EXPECT_EQ(spans["entry point"].size(), 6u);
  constexpr double kRounding = 1e-3;  // microseconds
  for (const auto& [inner, outer] : {std::pair{"kernel", "entry point"}, {"entry point", "step"}}) {
    double last = 0;
    for (const Span& span : spans[inner]) {
      EXPECT_GE(span.begin, last - kRounding) << inner;  // true begins: in order, and never one over another
      last = span.end;
      const bool inside = std::any_of(spans[outer].begin(), spans[outer].end(), [&, s = span](const Span& around) {
        return around.begin <= s.begin + kRounding && s.end <= around.end + kRounding;
      });
      EXPECT_TRUE(inside) << inner << " at " << span.begin;
    }
  }
}

}  // namespace
}  // namespace gptc
