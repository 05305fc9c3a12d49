#include "runtime/data/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <map>
#include <random>

#include "ir/base/check.h"
#include "nlohmann/json.hpp"
#include "runtime/data/tokenizer/bpe.h"
#include "runtime/data/tokenizer/load.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/formats/files.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

const std::string kData = GPTC_SOURCE_DIR "/../shared/data";

std::string Folder(const std::string& name) {
  const std::string dir = ::testing::TempDir() + "/tokenizer_test_" + name;
  CHECK_OK(RemoveAll(dir));
  CHECK_OK(MakeDirectories(dir));
  return dir;
}
void Write(const std::string& path, std::string_view content) { CHECK_OK(AtomicWriteFile(path, content)); }

std::string Noise(int seed, size_t size, std::string_view alphabet) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(alphabet[random() % alphabet.size()]);
  return text;
}
std::string AllBytes(size_t size) {
  std::string all;
  for (int b = 0; b < 256; ++b) all.push_back(static_cast<char>(b));
  return Noise(3, size, all);
}

std::unique_ptr<Tokenizer> Trained(std::string_view text, int vocab_size) {
  const std::string_view texts[] = {text};
  auto tokenizer = MakeBpeTokenizer(TrainBpe(texts, vocab_size));
  CHECK_OK(tokenizer.status());
  return *std::move(tokenizer);
}

void ExpectRoundTrip(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.Encode(text);
  ASSERT_TRUE(ids.ok()) << Message(ids.status());
  const auto back = tokenizer.Decode(*ids);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, text);
}

TEST(BytesTokenizer, IsTheBytes) {
  const auto t = MakeBytesTokenizer();
  EXPECT_EQ(t->vocab_size(), 257);
  EXPECT_EQ(t->eot(), 256);
  EXPECT_EQ(*t->Encode("a\xFF"), (Ids{97, 255}));
  ExpectRoundTrip(*t, AllBytes(200000));
  EXPECT_EQ(t->TokenBytes(256), kEndOfText);
  EXPECT_EQ(t->TokenBytes(257), "");
}

TEST(Tokenizer, DecodeNamesABadId) {
  const auto t = MakeBytesTokenizer();
  for (int32_t id : {257, -1}) {
    const auto text = t->Decode(Ids{1, 2, id});
    ASSERT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(text.status()), HasSubstr(Cat("token ", id, " at position 2")));
  }
}

TEST(CharsTokenizer, SortsTheCharacters) {
  const std::string_view texts[] = {"banana €", "\xFF\n"};
  const auto t = MakeCharsTokenizer(texts);
  ASSERT_TRUE(t.ok());
  EXPECT_EQ((*t)->vocab_size(), 7);  // \n space a b n € 0xFF
  EXPECT_EQ((*t)->eot(), std::nullopt);
  EXPECT_EQ(*(*t)->Encode("ban€\xFF"), (Ids{3, 2, 4, 5, 6}));
  ExpectRoundTrip(**t, "nab\xFF\n€");
}

TEST(CharsTokenizer, NamesAnUnknownCharacter) {
  const std::string_view texts[] = {"abc"};
  const auto t = MakeCharsTokenizer(texts);
  const auto ids = (*t)->Encode("abé");
  ASSERT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(ids.status()), HasSubstr("U+00E9 'é' at byte 2"));
  EXPECT_THAT(Message((*t)->Encode("\xC3").status()), HasSubstr("byte 0xC3"));
}

TEST(CharsTokenizer, RefusesNoText) {
  EXPECT_EQ(MakeCharsTokenizer({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(CharsTokenizerFromCodes({5, 5}).ok());
  EXPECT_FALSE(CharsTokenizerFromCodes({0xD800}).ok());
  EXPECT_FALSE(CharsTokenizerFromCodes({kRawByte + 256}).ok());
}

TEST(CharsTokenizer, TinyShakespeareHas65) {
  const auto text = ReadFileToString(kData + "/tinyshakespeare.txt");
  if (!text.ok()) GTEST_SKIP() << "needs tinyshakespeare.txt";
  const std::string_view texts[] = {*text};
  EXPECT_EQ((*MakeCharsTokenizer(texts))->vocab_size(), 65);
}

TEST(ByteLevel, NamesOfBytes) {
  EXPECT_EQ(ByteLevelText(" a\n!"), "ĠaĊ!");
  EXPECT_EQ(BytesOfByteLevel("ĠaĊ!"), " a\n!");
  EXPECT_EQ(BytesOfByteLevel("a b"), std::nullopt);
  EXPECT_EQ(BytesOfByteLevel("漢"), std::nullopt);
  EXPECT_EQ(Gpt2ByteOrder()[0], '!');
  EXPECT_EQ(Gpt2ByteOrder()[188], 0);
  const std::string all = AllBytes(5000);
  EXPECT_EQ(BytesOfByteLevel(ByteLevelText(all)), all);
}

TEST(Bpe, MergesTheEarliestPairAndTheLeftmostOfEquals) {
  BpeModel model;
  model.tokens = {"a", "b", "c", "aa", "bc", "aab"};
  model.merges = {{0, 0}, {1, 2}, {3, 1}};
  const auto t = MakeBpeTokenizer(model);
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(*(*t)->Encode("aaa"), (Ids{3, 0}));
  EXPECT_EQ(*(*t)->Encode("aabc"), (Ids{3, 4}));  // "bc" goes before "aab"
  EXPECT_EQ(*(*t)->Encode("aab"), (Ids{5}));
  EXPECT_THAT(Message((*t)->Encode("ax").status()), HasSubstr("no token for the byte 0x78"));
}

TEST(Bpe, RefusesAModelThatIsNotWhole) {
  BpeModel model;
  EXPECT_FALSE(MakeBpeTokenizer(model).ok());
  model.tokens = {"a", "b"};
  model.merges = {{0, 1}};
  EXPECT_THAT(Message(MakeBpeTokenizer(model).status()), HasSubstr("makes 'ab'"));
  model.merges = {{0, 2}};
  EXPECT_FALSE(MakeBpeTokenizer(model).ok());
  model.merges = {};
  model.eot = 2;
  EXPECT_FALSE(MakeBpeTokenizer(model).ok());
}

// A long piece goes by heap and list, its repetition in short text by search: both must agree with plain merging.
TEST(Bpe, LongAndShortPiecesAgreeWithPlainMerging) {
  const auto t = Trained(Noise(1, 20000, "aaabbcde "), 400);
  const BpeModel& model = *t->bpe();
  std::map<std::string, int32_t> id_of;
  for (size_t i = 0; i < model.tokens.size(); ++i) id_of.emplace(model.tokens[i], static_cast<int32_t>(i));
  for (size_t size : {1, 2, 63, 64, 65, 66, 200, 1000}) {
    for (int seed = 0; seed < 5; ++seed) {
      const std::string text = Noise(seed, size, "aaabbcde");
      Ids plain;
      for (char c : text) plain.push_back(id_of.at(std::string(1, c)));
      for (;;) {
        size_t best = model.merges.size(), at = 0;
        for (size_t i = 0; i + 1 < plain.size(); ++i) {
          for (size_t m = 0; m < best; ++m) {
            if (model.merges[m] == std::pair(plain[i], plain[i + 1])) best = m, at = i;
          }
        }
        if (best == model.merges.size()) break;
        const auto token = [&](size_t i) { return model.tokens[static_cast<size_t>(plain[i])]; };
        plain[at] = id_of.at(token(at) + token(at + 1));
        plain.erase(plain.begin() + static_cast<ptrdiff_t>(at) + 1);
      }
      EXPECT_EQ(*t->Encode(text), plain) << size;
    }
  }
}

TEST(Bpe, AMegabyteWithoutSpacesIsNotQuadratic) {
  const auto t = Trained("AAAAAAAA AAAA AA AAAAAAAA ab ab", 300);
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& text : {std::string(1 << 20, 'A'), Noise(2, 1 << 20, "abA"), std::string(1 << 20, ' ')}) {
    ExpectRoundTrip(*t, text);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Bpe, AnyBytesRoundTripAndBlocksJoin) {
  const auto t = Trained(Noise(1, 5000, "abc \n"), 300);
  ExpectRoundTrip(*t, AllBytes(300000));  // several blocks
  ExpectRoundTrip(*t, "");
  const auto error = t->EncodeTo(AllBytes(300000), [](std::span<const int32_t>) { return Failure("full"); });
  EXPECT_EQ(Message(error), "full");
}

TEST(Bpe, SpecialTokensInTextAreText) {
  const auto t = Trained("<|endoftext|> <|endoftext|>", 300);
  const auto ids = t->Encode("<|endoftext|>");
  EXPECT_FALSE(std::count(ids->begin(), ids->end(), *t->eot()));
  ExpectRoundTrip(*t, "a<|endoftext|>b");
}

// The definition of training, in plain loops over one piece a word.
std::vector<std::pair<int32_t, int32_t>> PlainTraining(const std::vector<std::string>& words, int vocab_size) {
  std::vector<Ids> symbols;
  std::map<std::string, int32_t> id_of;
  std::vector<std::string> tokens;
  for (unsigned char b : Gpt2ByteOrder()) {
    tokens.emplace_back(1, static_cast<char>(b));
    id_of[tokens.back()] = static_cast<int32_t>(tokens.size()) - 1;
  }
  for (const auto& word : words) {
    symbols.emplace_back();
    for (char c : word) symbols.back().push_back(id_of[std::string(1, c)]);
  }
  std::vector<std::pair<int32_t, int32_t>> merges;
  while (static_cast<int>(tokens.size()) < vocab_size - 1) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& s : symbols) {
      for (size_t i = 0; i + 1 < s.size(); ++i) ++counts[{s[i], s[i + 1]}];
    }
    std::pair<int32_t, int32_t> best;
    int64_t most = 1;
    for (const auto& [pair, count] : counts) {  // ascending pairs: the first of equals stays
      if (count > most) most = count, best = pair;
    }
    if (most < 2) break;
    const std::string joined = tokens[static_cast<size_t>(best.first)] + tokens[static_cast<size_t>(best.second)];
    if (id_of.emplace(joined, static_cast<int32_t>(tokens.size())).second) tokens.push_back(joined);
    for (auto& s : symbols) {
      Ids merged;
      for (size_t i = 0; i < s.size(); ++i) {
        const bool here = i + 1 < s.size() && std::pair(s[i], s[i + 1]) == best;
        merged.push_back(here ? id_of[joined] : s[i]);
        i += here;
      }
      s = merged;
    }
    merges.push_back(best);
  }
  return merges;
}

TEST(TrainBpe, EqualsThePlainDefinition) {
  for (int seed = 0; seed < 20; ++seed) {
    std::vector<std::string> words;
    std::string text;
    std::mt19937 random(static_cast<unsigned>(seed));
    for (int w = 0; w < 120; ++w) {
      words.push_back(Cat(" ", Noise(static_cast<int>(random()), 1 + random() % 9, seed % 2 ? "aab" : "abcde")));
      text += words.back();
    }
    const std::string_view texts[] = {text};
    const BpeModel model = TrainBpe(texts, 340);
    EXPECT_EQ(model.merges, PlainTraining(words, 340)) << seed;
    EXPECT_EQ(model.tokens.back(), kEndOfText);
    EXPECT_EQ(model.eot, static_cast<int>(model.tokens.size()) - 1);
  }
}

TEST(TrainBpe, EdgesOfSize) {
  EXPECT_EQ(Trained("", 300)->vocab_size(), 257);
  EXPECT_EQ(Trained("abab abab", 257)->vocab_size(), 257);
  EXPECT_EQ(Trained("abcdefg", 300)->vocab_size(), 257);  // no pair twice
  ExpectRoundTrip(*Trained(AllBytes(20000), 600), AllBytes(5000));
  const std::string text = Noise(1, 1 << 20, "abcd ");
  const std::string_view texts[] = {text};
  EXPECT_EQ(TrainBpe(texts, 300, 1 << 16).tokens.size(), 300u);  // from a sample
  EXPECT_EQ(TrainBpe(texts, 300, 1 << 16).merges, TrainBpe(texts, 300, 1 << 16).merges);
}

TEST(Load, SavedTokenizersComeBackEqual) {
  const std::string_view texts[] = {"hé\xFF\n"};
  const std::string dir = Folder("saved");
  std::vector<std::unique_ptr<Tokenizer>> all;
  all.push_back(MakeBytesTokenizer());
  all.push_back(*MakeCharsTokenizer(texts));
  all.push_back(Trained("the theme of the thesis \" \\ é \x01", 280));
  all.push_back(MakeBytesTokenizer());  // over the bpe's files
  for (const auto& t : all) {
    ASSERT_TRUE(t->Save(dir + "/tokenizer").ok());
    for (const std::string& place : {dir, dir + "/tokenizer"}) {
      const auto back = LoadTokenizer(place);
      ASSERT_TRUE(back.ok()) << Message(back.status());
      EXPECT_EQ((*back)->hash(), t->hash());
      EXPECT_EQ((*back)->kind(), t->kind());
    }
  }
  EXPECT_NE(all[0]->hash(), all[1]->hash());
}

TEST(Load, AllBpeFormsGiveTheSame) {
  const auto t = Trained("low lower lowest new newer newest wide wider widest low low", 300);
  const std::string dir = Folder("forms");
  const BpeModel& model = *t->bpe();
  Write(dir + "/vocab.json", VocabJson(model));
  Write(dir + "/merges.txt", MergesText(model));
  Write(dir + "/tokenizer.json", TokenizerJson(model));
  const std::string openai = Folder("openai");
  Write(openai + "/encoder.json", VocabJson(model));
  Write(openai + "/vocab.bpe", MergesText(model));
  nlohmann::json other = nlohmann::json::parse(TokenizerJson(model));
  for (auto& merge : other["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  Write(dir + "/text_merges.json", other.dump());
  std::string llmc(1024, '\0');
  const int32_t header[4] = {kLlmcTokenizerMagic, 2, t->vocab_size(), *t->eot()};
  std::memcpy(llmc.data(), header, sizeof header);
  for (const std::string& token : model.tokens) llmc += static_cast<char>(token.size()) + token;
  Write(dir + "/gpt2_tokenizer.bin", llmc);
  for (const std::string& path :
       {dir, dir + "/vocab.json", dir + "/merges.txt", dir + "/tokenizer.json", dir + "/text_merges.json", openai,
        openai + "/encoder.json", openai + "/vocab.bpe", dir + "/gpt2_tokenizer.bin"}) {
    const auto back = LoadTokenizer(path);
    ASSERT_TRUE(back.ok()) << path << ": " << Message(back.status());
    EXPECT_EQ((*back)->hash(), t->hash()) << path;
    EXPECT_EQ(*(*back)->Encode("lowest newest of wide"), *t->Encode("lowest newest of wide"));
  }
  for (size_t size : {size_t{3}, size_t{500}, size_t{1030}, llmc.size() - 1}) {
    Write(dir + "/cut.bin", std::string_view(llmc).substr(0, size));
    const auto cut = LoadTokenizer(dir + "/cut.bin");
    ASSERT_FALSE(cut.ok());
    EXPECT_THAT(Message(cut.status()), HasSubstr("cut.bin"));
  }
}

TEST(Load, RefusesWhatIsNoTokenizerAndNamesIt) {
  const std::string dir = Folder("bad");
  const std::string good = TokenizerJson(*Trained("aa aa bb bb", 270)->bpe());
  const auto changed = [&](const char* pointer, nlohmann::json value) {
    nlohmann::json root = nlohmann::json::parse(good);
    root[nlohmann::json::json_pointer(pointer)] = std::move(value);
    return root.dump();
  };
  const std::pair<std::string, std::string> cases[] = {
      {"", "no tokenizer"},
      {"{", "not valid JSON"},
      {"[]", "no tokenizer"},
      {"{\"model\": {}}", "BPE"},
      {changed("/model/type", "WordPiece"), "BPE"},
      {changed("/normalizer", {{"type", "NFC"}}), "normalizer"},
      {changed("/pre_tokenizer", nullptr), "pre_tokenizer"},
      {changed("/pre_tokenizer/add_prefix_space", true), "add_prefix_space"},
      {changed("/model/merges/0", "a"), "merge 1"},
      {changed("/model/merges/0", 5), "merge 1"},
      {changed("/model/merges/0", "zz zz"), "not in the vocabulary"},
      {changed("/model/vocab/a", -1), "whole number"},
      {changed("/model/vocab/a", 1e9), "whole number"},
      {changed("/model/vocab/a", 1), "two tokens"},
      {changed("/added_tokens/0/id", 4000000000u), "added_tokens"},
      {"{\"format\": \"gptc-tokenizer\", \"version\": 2}", "version"},
      {"{\"format\": \"gptc-tokenizer\", \"version\": 1, \"kind\": \"chars\"}", "code_points"},
      {"{\"format\": \"gptc-tokenizer\", \"version\": 1, \"kind\": \"chars\", \"code_points\": [9, 8], \"raw_bytes\": "
       "[]}",
       "out of order"},
      {"{\"a\": 0}", "merges.txt"},
  };
  for (const auto& [content, message] : cases) {
    Write(dir + "/x.json", content);
    const auto t = LoadTokenizer(dir + "/x.json");
    ASSERT_FALSE(t.ok()) << content.substr(0, 80);
    EXPECT_EQ(ExitCode(t.status()), 3);
    EXPECT_THAT(Message(t.status()), HasSubstr("x.json"));
    EXPECT_THAT(Message(t.status()), HasSubstr(message));
  }
  EXPECT_THAT(Message(LoadTokenizer(Folder("empty")).status()), HasSubstr("empty"));
  EXPECT_THAT(Message(LoadTokenizer("byts").status()), HasSubstr("did you mean 'bytes'"));
  EXPECT_EQ(LoadTokenizer("/nowhere/x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ExitCode(LoadTokenizer("chars").status()), 3);
}

TEST(Load, DamagedFilesNeverCrash) {
  const std::string good = TokenizerJson(*Trained("aa aa bb bb abab", 270)->bpe());
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string bad = good;
    for (int n = 0; n < 3; ++n) bad[random() % bad.size()] = static_cast<char>(random());
    if (const auto model = ParseTokenizerJson(bad, "x"); model.ok()) (void)MakeBpeTokenizer(*model);
    (void)ParseVocabAndMerges(bad, "x", bad, "y");
  }
}

TEST(MakeTokenizer, ChoosesBySize) {
  const std::string small(1000, 'a'), large = Noise(1, 300 << 10, "abcdefgh ");
  const std::string_view little[] = {small}, much[] = {large};
  const auto bytes = MakeTokenizer({}, little, {});
  EXPECT_EQ(bytes->tokenizer->kind(), "bytes");
  EXPECT_THAT(bytes->remark, HasSubstr("257"));
  const auto bpe = MakeTokenizer({}, much, {});
  EXPECT_EQ(bpe->tokenizer->kind(), "bpe");
  EXPECT_EQ(bpe->tokenizer->vocab_size(), 4096);
  EXPECT_EQ(MakeTokenizer({"", 300}, little, {})->tokenizer->kind(), "bpe");
  EXPECT_EQ(MakeTokenizer({"chars", 0}, little, much)->tokenizer->vocab_size(), 9);
  EXPECT_EQ(MakeTokenizer({"bytes", 0}, little, {})->remark, "");
  for (const TokenizerChoice& bad :
       {TokenizerChoice{"bpe", 256}, {"bpe", -1}, {"bpe", kLargestVocabulary + 1}, {"chars", 300}}) {
    EXPECT_EQ(ExitCode(MakeTokenizer(bad, little, {}).status()), 2);
  }
}

TEST(Gpt2, KnownTokens) {
  const auto t = LoadTokenizer(kData + "/gpt2");
  if (!t.ok()) GTEST_SKIP() << "needs GPT-2's encoder.json and vocab.bpe";
  EXPECT_EQ((*t)->vocab_size(), 50257);
  EXPECT_EQ((*t)->eot(), 50256);
  EXPECT_EQ(*(*t)->Encode("Hello there"), (Ids{15496, 612}));
  EXPECT_EQ(*(*t)->Encode("Hello world"), (Ids{15496, 995}));
  EXPECT_EQ(*(*t)->Encode("    x"), (Ids{220, 220, 220, 2124}));
  const auto text = ReadFileToString(kData + "/tinyshakespeare.txt");
  const auto ids = (*t)->Encode(*text);
  EXPECT_EQ(ids->size(), 338025u);  // as transformers' GPT2TokenizerFast has it
  EXPECT_EQ(*(*t)->Decode(*ids), *text);
}

}  // namespace
}  // namespace gptc
