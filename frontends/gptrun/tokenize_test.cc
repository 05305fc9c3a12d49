#include "frontends/gptrun/tokenize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontends/gptrun/detokenize.h"
#include "ir/base/check.h"
#include "nlohmann/json.hpp"
#include "runtime/data/shards.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string out, err;
};
Outcome Gptrun(std::vector<std::string> words) {
  words.insert(words.begin(), "gptrun");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  std::vector<std::unique_ptr<Subcommand>> commands;
  commands.push_back(MakeTokenizeCommand());
  commands.push_back(MakeDetokenizeCommand());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code =
      RunProgram({"gptrun", "test", "none"}, std::move(commands), static_cast<int>(argv.size()), argv.data());
  std::string out = ::testing::internal::GetCapturedStdout();
  return {code, std::move(out), ::testing::internal::GetCapturedStderr()};
}

std::string Folder(const std::string& name) {
  const std::string dir = ::testing::TempDir() + "/tokenize_test_" + name;
  CHECK_OK(RemoveAll(dir));
  CHECK_OK(MakeDirectories(dir));
  return dir;
}
std::string File(const std::string& path, std::string_view text) {
  CHECK_OK(AtomicWriteFile(path, text));
  return path;
}

TEST(Tokenize, WritesShardsSplitByCharacters) {
  const std::string dir = Folder("split");
  const std::string text = File(dir + "/t.txt", "ééééééééab");
  const Outcome run =
      Gptrun({"tokenize", text, "-o", dir + "/o", "--tokenizer", "chars", "--val-fraction", "0.3", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto summary = nlohmann::json::parse(run.out);
  EXPECT_EQ(summary["vocab_size"], 3);
  EXPECT_EQ(summary["splits"]["train"]["tokens"], 7);
  EXPECT_EQ(summary["splits"]["train"]["text_bytes"], 14);
  EXPECT_EQ(summary["splits"]["val"]["tokens"], 3);
  const auto val = ShardSet::Open(dir + "/o", "val");
  ASSERT_TRUE(val.ok()) << Message(val.status());
  std::vector<int32_t> ids(3);
  ASSERT_TRUE(val->Read(0, ids).ok());
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 0, 1}));
  const Outcome back = Gptrun({"detokenize", File(dir + "/ids.json", "[2, 0, 1]"), "--tokenizer", dir + "/o"});
  EXPECT_EQ(back.out, "éab");
}

TEST(Tokenize, JoinsDocumentsByEndOfText) {
  const std::string dir = Folder("join");
  const Outcome run = Gptrun({"tokenize", File(dir + "/a", "ab"), File(dir + "/b", ""), File(dir + "/c", "c"),
                              "--tokenizer", "bytes", "--ids"});
  EXPECT_EQ(run.out, "[97, 98, 256, 99]\n");
}

TEST(Tokenize, SaysWhatIsWrong) {
  const std::string dir = Folder("wrong");
  const std::string text = File(dir + "/t.txt", "abc"), empty = File(dir + "/empty.txt", "");
  const std::string out = dir + "/o";
  const std::tuple<std::vector<std::string>, int, std::string> cases[] = {
      {{"tokenize", text}, 2, "-o"},
      {{"tokenize", text, "-o", out, "--ids"}, 2, "--ids"},
      {{"tokenize", text, "-o", out, "--val-fraction", "1"}, 2, "--val-fraction"},
      {{"tokenize", text, "-o", out, "--val-fraction", "nan"}, 2, "--val-fraction"},
      {{"tokenize", text, "-o", out, "--vocab-size", "3"}, 2, "--vocab-size"},
      {{"tokenize", text, "-o", out, "--tokenizer", "byts"}, 3, "did you mean 'bytes'"},
      {{"tokenize", dir + "/missing", "-o", out}, 3, "missing"},
      {{"tokenize", empty, "-o", out}, 3, "empty.txt"},
      {{"detokenize", text, "--tokenizer", "bytes"}, 3, "t.txt"},
      {{"detokenize", File(dir + "/i.json", "[1, 257]"), "--tokenizer", "bytes"}, 3, "i.json"},
      {{"detokenize", File(dir + "/j.json", "[1.5]"), "--tokenizer", "bytes"}, 3, "element 0"},
      {{"detokenize", File(dir + "/k.json", "[18446744073709551615]"), "--tokenizer", "bytes"}, 3, "position 0"},
  };
  for (const auto& [words, code, message] : cases) {
    const Outcome run = Gptrun(words);
    EXPECT_EQ(run.code, code) << run.err;
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_EQ(run.out, "");
  }
}

}  // namespace
}  // namespace gptc
