#include "runtime/data/shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "ir/base/check.h"
#include "runtime/data/shard_format.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::string Folder(const std::string& name) {
  const std::string dir = ::testing::TempDir() + "/shards_test_" + name;
  CHECK_OK(RemoveAll(dir));
  CHECK_OK(MakeDirectories(dir));
  return dir;
}
void Write(const std::string& path, std::string_view content) { CHECK_OK(AtomicWriteFile(path, content)); }

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}
std::string Header(int32_t magic, int32_t version, int32_t tokens) {
  std::vector<int32_t> header(256);
  header[0] = magic, header[1] = version, header[2] = tokens;
  return BytesOf(header);
}
template <typename T>
std::string LlmcShard(const std::vector<T>& ids) {
  const bool narrow = sizeof(T) == 2;
  return Header(narrow ? 20240520 : 20240801, narrow ? 1 : 7, static_cast<int32_t>(ids.size())) + BytesOf(ids);
}
Ids ReadAll(const ShardSet& set) {
  Ids ids(static_cast<size_t>(set.tokens()));
  CHECK_OK(set.Read(0, ids));
  return ids;
}
Ids Iota(int32_t count, int32_t first = 0) {
  Ids ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(ShardFormat, SplitOfName) {
  EXPECT_EQ(SplitOfName("a_train_000001.bin", ".bin"), "train");
  EXPECT_EQ(SplitOfName("tiny_shakespeare_val.bin", ".bin"), "val");
  EXPECT_EQ(SplitOfName("my_train_set_val_3.bin", ".bin"), "val");
  EXPECT_EQ(SplitOfName("train.bin", ".bin"), "");
  EXPECT_EQ(SplitOfName("a_train_000001.bin.tmp", ".bin"), "");
  EXPECT_EQ(SplitOfName("000.bin", ".bin"), "");
}

TEST(ShardSet, ReadsShardsInOrderOfNamesAcrossTheirBounds) {
  const std::string dir = Folder("order");
  Write(dir + "/x_train_000001.bin", LlmcShard<uint16_t>({3, 4}));
  Write(dir + "/x_train_000000.bin", LlmcShard<uint16_t>({0, 1, 2}));
  Write(dir + "/x_train_000002.bin", LlmcShard<uint16_t>({}));
  Write(dir + "/x_train_000003.bin", LlmcShard<uint32_t>({5, 70000}));
  Write(dir + "/x_val_000000.bin", LlmcShard<uint16_t>({9}));
  const auto set = ShardSet::Open(dir, "train");
  ASSERT_TRUE(set.ok()) << Message(set.status());
  EXPECT_EQ(ReadAll(*set), (Ids{0, 1, 2, 3, 4, 5, 70000}));
  Ids part(4);
  ASSERT_TRUE(set->Read(2, part).ok());
  EXPECT_EQ(part, (Ids{2, 3, 4, 5}));
  EXPECT_EQ(set->bytes_per_token(), std::nullopt);
  EXPECT_EQ(ReadAll(*ShardSet::Open(dir, "val")), (Ids{9}));
}

TEST(ShardSet, ReadsNanoGptAndNpy) {
  const std::string dir = Folder("nanogpt");
  Write(dir + "/train.bin", BytesOf<uint16_t>({7, 8, 9}));
  EXPECT_EQ(ReadAll(*ShardSet::Open(dir, "train")), (Ids{7, 8, 9}));
  Write(dir + "/train.bin", "abc");
  EXPECT_EQ(ShardSet::Open(dir, "train").status().code(), absl::StatusCode::kDataLoss);
  const std::string text = "{'descr': '<u2', 'fortran_order': False, 'shape': (3,), }\n";
  const std::string npy = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(text.size()) + '\0' + text;
  Write(dir + "/edufineweb_train_000000.npy", npy + BytesOf<uint16_t>({1, 2, 3}));
  EXPECT_EQ(ReadAll(*ShardSet::Open(dir, "train")), (Ids{1, 2, 3}));
  const std::string whole = npy + BytesOf<uint16_t>({1, 2, 3});
  for (size_t size = 0; size < whole.size(); ++size) {
    Write(dir + "/edufineweb_train_000000.npy", std::string_view(whole).substr(0, size));
    const auto set = ShardSet::Open(dir, "train");
    ASSERT_EQ(set.status().code(), absl::StatusCode::kDataLoss) << size;
    EXPECT_THAT(Message(set.status()), HasSubstr("edufineweb_train_000000.npy"));
  }
}

TEST(ShardSet, NamesWhatIsMissing) {
  const auto nowhere = ShardSet::Open("nowhere", "train");
  EXPECT_EQ(nowhere.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(nowhere.status()), HasSubstr("nowhere"));
  const std::string dir = Folder("none");
  const auto empty = ShardSet::Open(dir, "val");
  EXPECT_EQ(empty.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(empty.status()), HasSubstr("no val shards in '" + dir));
}

TEST(ShardSet, RefusesDamagedFiles) {
  const std::string dir = Folder("damaged"), path = dir + "/x_train_000000.bin";
  const std::string good = LlmcShard<uint16_t>({1, 2, 3});
  const auto status = [&](const std::string& content) {
    Write(path, content);
    return ShardSet::Open(dir, "train").status();
  };
  ASSERT_TRUE(status(good).ok());
  const Status cut = status(good.substr(0, good.size() - 1));
  EXPECT_EQ(cut.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(cut), HasSubstr(path));
  EXPECT_THAT(Message(cut), HasSubstr("1,029 bytes"));
  EXPECT_THAT(Message(cut), HasSubstr("1,030"));
  for (const std::string& bad :
       {std::string(), std::string("ab"), good.substr(0, 1023), good + "x", Header(1, 1, 3) + "123456",
        Header(20240520, 2, 3) + "123456", Header(20240520, 1, -1) + "123456", Header(20240520, 1, INT32_MAX),
        Header(20240801, 7, INT32_MIN)}) {
    const Status s = status(bad);
    EXPECT_EQ(s.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(Message(s), HasSubstr(path));
  }
}

TEST(ShardSet, RefusesAnotherVocabulary) {
  const std::string dir = Folder("vocab");
  Write(dir + "/x_train_000000.bin", LlmcShard<uint16_t>({1, 2, 99, 100, 3}));
  auto set = ShardSet::Open(dir, "train");
  EXPECT_TRUE(set->Validate(101).ok());
  const Status status = set->Validate(100);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("x_train_000000.bin"));
  EXPECT_THAT(Message(status), HasSubstr("token 3 is 100"));
  Ids part(2);
  EXPECT_FALSE(set->Read(3, part).ok());  // checked as it is read, too
  EXPECT_TRUE(set->Read(1, part).ok());
  Write(dir + "/x_train_000000.bin", LlmcShard<uint32_t>({0x80000000u}));
  EXPECT_FALSE(ShardSet::Open(dir, "train")->Read(0, std::span(part).first(1)).ok());
}

ShardsInfo Info(int64_t vocab) {
  ShardsInfo info;
  info.tokenizer_kind = "bpe";
  info.tokenizer_hash = "0123456789abcdef";
  info.vocab_size = vocab;
  info.eot = vocab - 1;
  return info;
}
void WriteSet(const std::string& dir, int64_t vocab, int32_t train, int64_t shard_tokens) {
  auto writer = ShardWriter::Create(dir, "t", Info(vocab), shard_tokens);
  ASSERT_TRUE(writer.ok()) << Message(writer.status());
  ASSERT_TRUE((*writer)->Add("train", Iota(train / 2)).ok());
  ASSERT_TRUE((*writer)->Add("train", Iota(train - train / 2, train / 2)).ok());
  ASSERT_TRUE((*writer)->Add("val", Iota(5)).ok());
  (*writer)->AddTextBytes("train", 3 * train);
  ASSERT_TRUE((*writer)->Finish().ok());
}

TEST(ShardWriter, WhatIsWrittenIsRead) {
  const std::string dir = Folder("written");
  for (int64_t vocab : {65536, 65537}) {  // u16, u32, over the first
    WriteSet(dir, vocab, 25, vocab == 65536 ? 10 : 7);
    auto set = ShardSet::Open(dir, "train");
    ASSERT_TRUE(set.ok()) << Message(set.status());
    EXPECT_EQ(ReadAll(*set), Iota(25));
    EXPECT_EQ(set->bytes_per_token(), 3.0);
    EXPECT_EQ(set->info()->eot, vocab - 1);
    EXPECT_EQ(set->info()->splits.at("train").files.size(), vocab == 65536 ? 3u : 4u);
    EXPECT_EQ(MappedFile::Open(dir + "/t_val_000000.bin")->size(), vocab == 65536 ? 1034u : 1044u);
    EXPECT_EQ(set->Validate(vocab - 1).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(set->Validate(vocab).ok());
  }
  WriteSet(dir, 100, 10, 10);  // the three shards too many go away
  EXPECT_EQ(*ListDirectory(dir), (std::vector<std::string>{"shards.json", "t_train_000000.bin", "t_val_000000.bin"}));
}

TEST(ShardWriter, LeavesForeignShardsAlone) {
  const std::string dir = Folder("foreign");
  Write(dir + "/fineweb_train_000000.bin", LlmcShard<uint16_t>({1}));
  const auto writer = ShardWriter::Create(dir, "t", Info(10));
  EXPECT_EQ(writer.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(Message(writer.status()), HasSubstr("fineweb_train_000000.bin"));
  EXPECT_EQ(ExitCode(ShardWriter::Create(dir, "a/b", Info(10)).status()), 3);
}

TEST(ShardWriter, UnfinishedWorkLeavesNoShard) {
  const std::string dir = Folder("unfinished");
  { ASSERT_TRUE((*ShardWriter::Create(dir, "t", Info(10)))->Add("train", Iota(5)).ok()); }
  EXPECT_EQ(*ListDirectory(dir), std::vector<std::string>{});
}

TEST(ShardsJson, HoldsTheShardsToIt) {
  const std::string dir = Folder("sidecar");
  WriteSet(dir, 100, 20, 10);
  const std::string json = *ReadFileToString(dir + "/shards.json");
  const std::string shard = *ReadFileToString(dir + "/t_train_000001.bin");
  const auto status = [&] { return ShardSet::Open(dir, "train").status(); };
  std::string flipped = shard;
  flipped.back() ^= 1;
  Write(dir + "/t_train_000001.bin", flipped);
  EXPECT_EQ(status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(status()), HasSubstr("t_train_000001.bin"));
  Write(dir + "/t_train_000001.bin", LlmcShard<uint16_t>({1}));
  EXPECT_EQ(status().code(), absl::StatusCode::kDataLoss);
  CHECK_OK(RemoveAll(dir + "/t_train_000001.bin"));
  EXPECT_EQ(status().code(), absl::StatusCode::kNotFound);
  Write(dir + "/t_train_000001.bin", shard);
  ASSERT_TRUE(status().ok());
  Write(dir + "/u_train_000000.bin", shard);
  EXPECT_THAT(Message(status()), HasSubstr("u_train_000000.bin"));
  CHECK_OK(RemoveAll(dir + "/u_train_000000.bin"));
  for (const std::string& bad :
       {std::string("{"), std::string("[]"), std::string("{\"format\": 1}"), json.substr(0, json.size() / 2),
        std::string("{\"format\":\"gptc-shards\",\"version\":1}")}) {
    Write(dir + "/shards.json", bad);
    EXPECT_EQ(ExitCode(status()), 3);
    EXPECT_THAT(Message(status()), HasSubstr("shards.json"));
  }
  for (size_t i = 0; i < json.size(); i += 3) {  // never a crash
    std::string bad = json;
    bad[i] = '7';
    (void)ParseShardsJson(bad, "x");
  }
}

}  // namespace
}  // namespace gptc
