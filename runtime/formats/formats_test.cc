#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/formats/convert.h"
#include "runtime/formats/files.h"
#include "runtime/formats/hf_config.h"
#include "runtime/formats/safetensors.h"
#include "runtime/formats/xxh.h"

namespace gptc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Fresh(const std::string& name) {
  std::string folder = ::testing::TempDir() + "/formats_test_" + name;
  EXPECT_TRUE(RemoveAll(folder).ok());
  EXPECT_TRUE(MakeDirectories(folder).ok());
  return folder;
}

void Put(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

// A safetensors file with this header and data.
std::string File(std::string_view header, std::string_view data) {
  uint64_t size = header.size();
  std::string text(reinterpret_cast<const char*>(&size), sizeof(size));
  return Cat(text, header, data);
}

TEST(Files, AtomicWriteReplacesAndLeavesNothingElse) {
  std::string folder = Fresh("atomic");
  ASSERT_TRUE(AtomicWriteFile(folder + "/a", "one").ok());
  ASSERT_TRUE(AtomicWriteFile(folder + "/a", "two").ok());
  EXPECT_EQ(*ReadFileToString(folder + "/a"), "two");
  EXPECT_THAT(*ListDirectory(folder), ElementsAre("a"));
  ASSERT_TRUE(AtomicSymlink("a", folder + "/link").ok());
  ASSERT_TRUE(AtomicSymlink("b", folder + "/link").ok());
  EXPECT_EQ(std::filesystem::read_symlink(folder + "/link"), "b");
  EXPECT_THAT(*ListDirectory(folder), ElementsAre("a", "link"));
}

TEST(Files, Errors) {
  std::string folder = Fresh("errors");
  EXPECT_EQ(ReadFileToString(folder + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ReadFileToString(folder).ok());
  EXPECT_FALSE(MappedFile::Open(folder).ok());
  EXPECT_FALSE(AtomicWriteFile(folder + "/x/y", "t").ok());
  Put(folder + "/ten", "0123456789");
  EXPECT_TRUE(ReadFileToString(folder + "/ten", 10).ok());
  EXPECT_FALSE(ReadFileToString(folder + "/ten", 9).ok());
  EXPECT_FALSE(ReadFileToString("/dev/zero", 1000).ok());
  EXPECT_FALSE(MappedFile::Open("/dev/zero").ok());
  Put(folder + "/empty", "");
  auto empty = MappedFile::Open(folder + "/empty");
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->size(), 0u);
  ASSERT_TRUE(FileWriter::Create("/dev/full").ok());
  auto full = FileWriter::Create("/dev/full");
  EXPECT_THAT(Message(full->Append("x")), HasSubstr("No space left"));
}

TEST(Safetensors, RoundTripSortedAndAligned) {
  std::string folder = Fresh("st");
  std::vector<float> b = {1, 2, 3, 4, 5, 6};
  std::vector<double> d = {0.5};
  std::vector<uint8_t> small = {7, 8, 9};
  std::vector<TensorToWrite> tensors;
  tensors.push_back({"small", ElementType::kU8, {3}, small.data(), nullptr});
  tensors.push_back({"b\"\n", ElementType::kF32, {2, 3}, b.data(), nullptr});
  tensors.push_back({"a", ElementType::kF32, {0, 3}, nullptr, nullptr});
  tensors.push_back({"made", ElementType::kF32, {}, nullptr, [] { return std::vector<std::byte>(4); }});
  tensors.push_back({"d", ElementType::kF64, {1}, d.data(), nullptr});
  ASSERT_TRUE(WriteSafetensors(folder + "/model.safetensors", tensors).ok());
  auto file = Safetensors::Open(folder);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 5u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  const StoredTensor* view = file->Find("b\"\n");
  ASSERT_NE(view, nullptr);
  EXPECT_THAT(view->shape, ElementsAre(2, 3));
  EXPECT_EQ(std::memcmp(view->bytes.data(), b.data(), 24), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->Find("d")->bytes.data()) % 8, 0u);
  EXPECT_EQ(file->Find("made")->elements(), 1);
  EXPECT_EQ(file->Find("a")->elements(), 0);
  EXPECT_EQ(file->Find("none"), nullptr);
}

TEST(Safetensors, WriterRefuses) {
  std::string path = Fresh("stw") + "/x";
  float one = 1;
  EXPECT_FALSE(
      WriteSafetensors(path, {{"a", ElementType::kF32, {}, &one, nullptr}, {"a", ElementType::kF32, {}, &one, nullptr}})
          .ok());
  EXPECT_FALSE(WriteSafetensors(path, {{"a", ElementType::kF32, {int64_t{1} << 62}, &one, nullptr}}).ok());
  EXPECT_FALSE(
      WriteSafetensors(path, {{"a", ElementType::kF32, {2}, nullptr, [] { return std::vector<std::byte>(4); }}}).ok());
  EXPECT_THAT(Message(WriteSafetensors("/dev/full", {{"a", ElementType::kF32, {}, &one, nullptr}})),
              HasSubstr("No space"));
}

TEST(Safetensors, MalformedIsAnErrorThatNamesTheFile) {
  std::string path = Fresh("bad") + "/bad.safetensors";
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  Put(path, File(good, "12345678"));
  ASSERT_TRUE(Safetensors::OpenFile(path).ok());
  const std::string overflow = R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})";
  const std::string cases[] = {
      "",
      "1234567",
      File(good, "1234567"),
      File(good, "123456789"),
      File("[]", ""),
      File("{", ""),
      File("{\"a\":1}", ""),
      File(overflow, ""),
      File(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "12345678"),
      File(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "12345678"),
      File(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678"),
      File(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", "12345678"),
      File(R"({"a":{"dtype":3,"shape":[2],"data_offsets":[0,8]}})", "12345678"),
      File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "12345678"),
      File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})", "12345678"),
      File(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          "12345678"),
      File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678"),
      File(R"({"__metadata__":{"x":1}})", ""),
      std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
      std::string("\x00\xe1\xf5\x05\x00\x00\x00\x00{}", 10),
  };
  for (const std::string& text : cases) {
    Put(path, text);
    auto file = Safetensors::OpenFile(path);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kDataLoss) << text << file.status();
    EXPECT_THAT(Message(file.status()), HasSubstr("bad.safetensors"));
  }
}

TEST(Safetensors, RandomDamageNeverCrashes) {
  std::string path = Fresh("noise") + "/n.safetensors";
  std::string good = File(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[8,12]}})",
      "123456789abc");
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string text = good;
    for (int flips = static_cast<int>(random() % 4); flips >= 0; --flips)
      text[random() % text.size()] ^= static_cast<char>(1 << random() % 8);
    if (i % 3 == 0) text.resize(random() % text.size());
    Put(path, text);
    auto file = Safetensors::OpenFile(path);
    if (!file.ok()) continue;
    for (const auto& [name, view] : file->tensors()) EXPECT_LE(view.bytes.size(), text.size());
  }
}

TEST(Safetensors, Sharded) {
  std::string folder = Fresh("shards");
  float x = 3;
  ASSERT_TRUE(WriteSafetensors(folder + "/m-1.safetensors", {{"a", ElementType::kF32, {}, &x, nullptr}}).ok());
  ASSERT_TRUE(WriteSafetensors(folder + "/m-2.safetensors", {{"b", ElementType::kF32, {}, &x, nullptr}}).ok());
  std::string index = folder + "/model.safetensors.index.json";
  Put(index, R"({"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  for (const std::string& path : {folder, index}) {
    auto all = Safetensors::Open(path);
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->tensors().size(), 2u);
  }
  Put(index, R"({"weight_map":{"a":"../m-1.safetensors"}})");
  EXPECT_FALSE(Safetensors::Open(folder).ok());
  Put(index, R"({"weight_map":{"a":"m-3.safetensors"}})");
  EXPECT_EQ(Safetensors::Open(folder).status().code(), absl::StatusCode::kNotFound);
  Put(index, R"({"weight_map":3})");
  EXPECT_FALSE(Safetensors::Open(folder).ok());
}

TEST(HfConfig, DefaultsAndRoundTrip) {
  auto config = ParseHfConfig(
      R"({"model_type":"gpt2","n_embd":8,"n_head":2,"n_layer":3,"vocab_size":17,"n_positions":5,"n_inner":null,
      "activation_function":"gelu","resid_pdrop":0.0,"eos_token_id":16,"tie_word_embeddings":false,"unknown":[1]})",
      "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->inner, 32);
  EXPECT_EQ(config->activation, "gelu_erf");
  EXPECT_EQ(config->attention_dropout, 0.1);
  EXPECT_FALSE(config->tied);
  EXPECT_EQ(config->bos, std::nullopt);
  config->inner = 40;
  config->epsilon = 1e-6;
  auto again = ParseHfConfig(WriteHfConfig(*config), "config.json");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->vocab, 17);
  EXPECT_EQ(again->context, 5);
  EXPECT_EQ(again->inner, 40);
  EXPECT_EQ(again->epsilon, 1e-6);
  EXPECT_EQ(again->activation, "gelu_erf");
  EXPECT_EQ(again->eos, 16);
  EXPECT_THAT(WriteHfConfig(*config), HasSubstr("\"n_ctx\": 5"));
  for (auto [foreign, ours] :
       {std::pair("gelu_new", "gelu_tanh"), std::pair("gelu_pytorch_tanh", "gelu_tanh"), std::pair("relu", "relu")}) {
    EXPECT_EQ(ParseHfConfig(Cat(R"({"activation_function":")", foreign, R"("})"), "c")->activation, ours);
  }
}

TEST(HfConfig, BadInput) {
  for (const char* text :
       {"", "[]", "{", R"({"model_type":"llama"})", R"({"n_embd":-1})", R"({"n_embd":1e3})", R"({"n_embd":"8"})",
        R"({"n_embd":99999999999999999999})", R"({"n_embd":18446744073709551615})", R"({"n_embd":10,"n_head":3})",
        R"({"activation_function":"swish"})", R"({"resid_pdrop":1})", R"({"resid_pdrop":"x"})",
        R"({"tie_word_embeddings":1})", R"({"scale_attn_weights":false})", R"({"vocab_size":0})", "\xff\xfe"}) {
    auto config = ParseHfConfig(text, "here/config.json");
    EXPECT_EQ(ExitCode(config.status()), 3) << text;
    EXPECT_THAT(Message(config.status()), HasSubstr("here/config.json"));
  }
}

TEST(Xxh, KnownDigests) {
  EXPECT_EQ(XxhText(XxhOf("", 0)), "ef46db3751d8e999");
  EXPECT_EQ(XxhText(XxhOf("a", 1)), "d24ec4f1a98c6e5b");
}

TEST(Xxh, VerifyNamesWhatIsWrong) {
  std::string folder = Fresh("xxh");
  Put(folder + "/a.bin", "aaaa");
  Put(folder + "/b c.bin", "");
  ASSERT_TRUE(MakeDirectories(folder + "/tokenizer").ok());
  Put(folder + "/tokenizer/t.json", "{}");
  EXPECT_EQ(VerifyChecksums(folder).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteChecksums(folder).ok());
  ASSERT_TRUE(VerifyChecksums(folder).ok());
  const std::string sums = *ReadFileToString(folder + "/checksums.xxh");
  EXPECT_EQ(std::count(sums.begin(), sums.end(), '\n'), 3);
  if (std::system("command -v xxhsum > /dev/null") == 0) {
    EXPECT_EQ(std::system(Cat("cd '", folder, "' && xxhsum -c --quiet checksums.xxh").c_str()), 0);
  }
  auto expect = [&](const char* name) {
    Status status = VerifyChecksums(folder);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(Message(status), HasSubstr(name));
  };
  Put(folder + "/a.bin", "aaab");
  expect("a.bin");
  Put(folder + "/a.bin", "aaa");
  expect("a.bin");
  ASSERT_TRUE(RemoveAll(folder + "/a.bin").ok());
  expect("a.bin");
  Put(folder + "/a.bin", "aaaa");
  Put(folder + "/new", "");
  expect("new");
  ASSERT_TRUE(RemoveAll(folder + "/new").ok());
  EXPECT_TRUE(VerifyChecksums(folder).ok());
  Put(folder + "/checksums.xxh", "");
  expect("a.bin");
  Put(folder + "/checksums.xxh", "zz46db3751d8e999  a.bin\n");
  expect("checksums.xxh");
  Put(folder + "/checksums.xxh", sums + sums);
  expect("checksums.xxh");
  Put(folder + "/checksums.xxh", std::string("\0\0\n\0", 4));
  expect("checksums.xxh");
}

TEST(Convert, FloatPairs) {
  std::vector<float> source = {0, -1.5f, 3.14159f, 65504, 1e-8f, -std::numeric_limits<float>::infinity()};
  int64_t n = static_cast<int64_t>(source.size());
  for (ElementType type : {ElementType::kF64, ElementType::kBF16, ElementType::kF16, ElementType::kF32}) {
    std::vector<std::byte> there(source.size() * 8 + 1);
    std::vector<float> back(source.size());
    // One byte off, so that nothing relies on alignment.
    ASSERT_TRUE(ConvertElements(ElementType::kF32, source.data(), type, there.data() + 1, n).ok());
    ASSERT_TRUE(ConvertElements(type, there.data() + 1, ElementType::kF32, back.data(), n).ok());
    for (int64_t i = 0; i < n; ++i) {
      float expected = source[i];
      if (type == ElementType::kBF16) expected = FloatFromBf16(Bf16FromFloat(expected));
      if (type == ElementType::kF16) expected = FloatFromF16(F16FromFloat(expected));
      EXPECT_EQ(back[i], expected) << NameOf(type);
    }
  }
  double precise = 0.1, copy = 0;
  ASSERT_TRUE(ConvertElements(ElementType::kF64, &precise, ElementType::kF64, &copy, 1).ok());
  EXPECT_EQ(copy, precise);
  uint16_t id = 0;
  EXPECT_FALSE(ConvertElements(ElementType::kI32, source.data(), ElementType::kU16, &id, 1).ok());
  EXPECT_FALSE(ConvertElements(ElementType::kF32, source.data(), ElementType::kI32, &id, 1).ok());
}

TEST(Convert, Transposes) {
  const int64_t rows = 37, columns = 65;
  std::vector<float> source(rows * columns), same(source.size()), back(source.size());
  for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<float>(i % 256);
  ASSERT_TRUE(ConvertTransposed(ElementType::kF32, source.data(), ElementType::kF32, same.data(), rows, columns).ok());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) ASSERT_EQ(same[c * rows + r], source[r * columns + c]);
  }
  std::vector<uint16_t> half(source.size());
  ASSERT_TRUE(ConvertTransposed(ElementType::kF32, source.data(), ElementType::kBF16, half.data(), rows, columns).ok());
  ASSERT_TRUE(ConvertTransposed(ElementType::kBF16, half.data(), ElementType::kF32, back.data(), columns, rows).ok());
  EXPECT_EQ(back, source);
}

}  // namespace
}  // namespace gptc
