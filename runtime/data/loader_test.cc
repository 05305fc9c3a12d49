#include "runtime/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "ir/base/check.h"
#include "runtime/data/permutation.h"

namespace gptc {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

// A split of the tokens 0, 1, 2, ... in shards of 37.
std::shared_ptr<ShardSet> Counting(int32_t count) {
  const std::string dir = Cat(::testing::TempDir(), "/loader_test_", count);
  CHECK_OK(RemoveAll(dir));
  ShardsInfo info;
  info.vocab_size = 60000;
  auto writer = ShardWriter::Create(dir, "count", info, 37);
  CHECK_OK(writer.status());
  Ids ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  CHECK_OK((*writer)->Add("train", ids));
  CHECK_OK((*writer)->Finish());
  auto set = ShardSet::Open(dir, "train");
  CHECK_OK(set.status());
  return std::make_shared<ShardSet>(*std::move(set));
}

struct Got {
  Ids tokens, targets;
  int64_t first_sequence;
};
Got NextOf(BatchLoader& loader, int64_t batch, int64_t sequence) {
  Got got{Ids(static_cast<size_t>(batch * sequence)), Ids(static_cast<size_t>(batch * sequence)), 0};
  CHECK_OK(loader.Next(got.tokens, got.targets));
  got.first_sequence = loader.first_sequence();
  return got;
}
std::unique_ptr<BatchLoader> Loader(std::shared_ptr<const ShardSet> shards, const LoaderOptions& options) {
  auto loader = BatchLoader::Create(std::move(shards), options);
  CHECK_OK(loader.status());
  return *std::move(loader);
}

TEST(Permutation, IsOne) {
  for (uint64_t size : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4096, 65537}) {
    for (uint64_t key : {0, 1}) {
      std::vector<bool> seen(size);
      for (uint64_t i = 0; i < size; ++i) {
        const uint64_t to = Permute(i, size, EpochKey(key, 0));
        ASSERT_LT(to, size);
        ASSERT_FALSE(seen[to]);
        seen[to] = true;
      }
    }
  }
}

// Training runs depend on the order: these values are part of the format.
TEST(Permutation, StaysAsItIs) {
  EXPECT_EQ(EpochKey(1337, 0), 2962084630759274543u);
  std::vector<uint64_t> order;
  for (uint64_t i = 0; i < 8; ++i) order.push_back(Permute(i, 1000, EpochKey(1337, 0)));
  EXPECT_EQ(order, (std::vector<uint64_t>{658, 221, 538, 915, 891, 248, 291, 25}));
}

TEST(Permutation, LooksShuffled) {
  const uint64_t size = 10000;
  double distance = 0;
  std::set<int64_t> steps;
  for (uint64_t i = 0; i + 1 < size; ++i) {
    const auto at = [&](uint64_t j) { return static_cast<int64_t>(Permute(j, size, EpochKey(5, 2))); };
    distance += std::abs(static_cast<double>(at(i)) - static_cast<double>(i));
    steps.insert(at(i + 1) - at(i));
  }
  EXPECT_NEAR(distance / static_cast<double>(size), size / 3.0, size / 30.0);  // of two uniform numbers
  EXPECT_GT(steps.size(), size / 2);
}

TEST(BatchLoader, SequentialIsTheTextInOrderAndWraps) {
  const auto shards = Counting(101);  // B*T = 20: five batches, the last needs token 100
  const auto loader = Loader(shards, {.batch = 4, .sequence = 5, .order = Order::kSequential});
  for (int i = 0; i < 12; ++i) {
    const Got got = NextOf(*loader, 4, 5);
    Ids tokens(20), targets(20);
    std::iota(tokens.begin(), tokens.end(), 20 * (i % 5));
    std::iota(targets.begin(), targets.end(), 20 * (i % 5) + 1);
    EXPECT_EQ(got.tokens, tokens) << i;
    EXPECT_EQ(got.targets, targets) << i;
    EXPECT_EQ(got.first_sequence, 4 * i);
    EXPECT_EQ(loader->cursor().windows, 4 * (i + 1));
  }
  const auto short_by_one = Loader(Counting(100), {.batch = 4, .sequence = 5, .order = Order::kSequential});
  for (int i = 0; i < 8; ++i) EXPECT_EQ(NextOf(*short_by_one, 4, 5).tokens[0], 20 * (i % 4));
}

TEST(BatchLoader, RanksShareEachBatchOfTheOneOrder) {
  const auto shards = Counting(1000);
  for (Order order : {Order::kSequential, Order::kShuffled}) {
    const auto whole = Loader(shards, {.batch = 6, .sequence = 7, .order = order, .seed = 3});
    std::vector<std::unique_ptr<BatchLoader>> ranks;
    for (int r = 0; r < 3; ++r) {
      ranks.push_back(Loader(shards, {.batch = 2, .sequence = 7, .order = order, .seed = 3, .rank = r, .ranks = 3}));
    }
    for (int i = 0; i < 60; ++i) {  // beyond one epoch of 142 windows
      const Got all = NextOf(*whole, 6, 7);
      Ids joined;
      for (int r = 0; r < 3; ++r) {
        const Got part = NextOf(*ranks[static_cast<size_t>(r)], 2, 7);
        joined.insert(joined.end(), part.tokens.begin(), part.tokens.end());
        EXPECT_EQ(part.first_sequence, all.first_sequence + 2 * r);
        EXPECT_EQ(ranks[static_cast<size_t>(r)]->cursor().windows, whole->cursor().windows);
      }
      ASSERT_EQ(joined, all.tokens) << i;
    }
  }
}

TEST(BatchLoader, ShuffledVisitsEachWindowOnceAnEpoch) {
  const auto shards = Counting(1000);
  const auto loader = Loader(shards, {.batch = 1, .sequence = 7, .seed = 3});
  ASSERT_EQ(loader->windows_per_epoch(), 142);
  std::vector<Ids> orders;
  for (int epoch = 0; epoch < 2; ++epoch) {
    Ids firsts;
    for (int i = 0; i < 142; ++i) {
      const Got got = NextOf(*loader, 1, 7);
      for (size_t j = 0; j < 7; ++j) {
        ASSERT_EQ(got.tokens[j], got.tokens[0] + static_cast<int>(j));
        ASSERT_EQ(got.targets[j], got.tokens[j] + 1);
      }
      firsts.push_back(got.tokens[0]);
    }
    orders.push_back(firsts);
    // The grid of windows of the second epoch lies `shift` tokens further, around the end.
    const int shift = epoch == 0 ? 0 : 4;  // 0.618 · 7, rounded down
    Ids expected;
    for (int i = 0; i < 142; ++i) expected.push_back((7 * i + shift) % (1000 - 7));
    std::sort(expected.begin(), expected.end());
    std::sort(firsts.begin(), firsts.end());
    ASSERT_EQ(firsts, expected);
  }
  EXPECT_NE(orders[0], orders[1]);
  const auto other = Loader(shards, {.batch = 142, .sequence = 7, .seed = 4});
  EXPECT_NE(NextOf(*other, 142, 7).tokens[0], orders[0][0]);
}

TEST(BatchLoader, GoesOnFromItsCursorWithAnotherShape) {
  const auto shards = Counting(1000);
  for (Order order : {Order::kSequential, Order::kShuffled}) {
    const auto whole = Loader(shards, {.batch = 4, .sequence = 7, .order = order, .seed = 9});
    for (int i = 0; i < 50; ++i) NextOf(*whole, 4, 7);
    const Cursor cursor = whole->cursor();  // what is read ahead does not count
    const auto again = Loader(shards, {.batch = 2, .sequence = 7, .order = order, .seed = 9, .cursor = cursor});
    for (int i = 0; i < 10; ++i) {
      const Got all = NextOf(*whole, 4, 7);
      Ids joined = NextOf(*again, 2, 7).tokens;
      const Ids rest = NextOf(*again, 2, 7).tokens;
      joined.insert(joined.end(), rest.begin(), rest.end());
      EXPECT_EQ(joined, all.tokens);
      EXPECT_EQ(again->cursor().windows, whole->cursor().windows);
    }
  }
}

TEST(BatchLoader, RefusesWhatCannotBe) {
  const auto shards = Counting(100);
  const auto status = [&](const LoaderOptions& options) { return BatchLoader::Create(shards, options).status(); };
  EXPECT_TRUE(status({.batch = 9, .sequence = 11}).ok());
  const Status small = status({.batch = 10, .sequence = 10});
  EXPECT_EQ(small.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(small), HasSubstr("has 100 tokens"));
  EXPECT_THAT(Message(small), HasSubstr("101"));
  EXPECT_THAT(Message(small), HasSubstr(shards->folder()));
  EXPECT_FALSE(status({.batch = 5, .sequence = 10, .ranks = 2}).ok());
  EXPECT_FALSE(status({.batch = 0, .sequence = 10}).ok());
  EXPECT_FALSE(status({.batch = 1, .sequence = -1}).ok());
  EXPECT_FALSE(status({.batch = INT64_MAX, .sequence = INT64_MAX}).ok());
  EXPECT_FALSE(status({.batch = 1, .sequence = 1, .rank = 2, .ranks = 2}).ok());
  EXPECT_FALSE(status({.batch = 1, .sequence = 1, .cursor = {-1}}).ok());
  EXPECT_FALSE(status({.batch = 1, .sequence = 1, .prefetch = 0}).ok());
}

TEST(BatchLoader, ReportsABadTokenWhereItComes) {
  const auto shards = Counting(101);
  EXPECT_FALSE(shards->Validate(50).ok());  // and from now on as they are read
  const auto loader = Loader(shards, {.batch = 2, .sequence = 10, .order = Order::kSequential});
  Ids tokens(20), targets(20);
  EXPECT_TRUE(loader->Next(tokens, targets).ok());
  EXPECT_TRUE(loader->Next(tokens, targets).ok());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Message(loader->Next(tokens, targets)), HasSubstr("vocabulary"));
  EXPECT_EQ(loader->cursor().windows, 4);
}

TEST(BatchLoader, StopsAtAnyTime) {
  const auto shards = Counting(1000);
  for (int i = 0; i < 200; ++i) {
    const auto loader = Loader(shards, {.batch = 2, .sequence = 8, .prefetch = 1 + i % 3});
    for (int j = 0; j < i % 7; ++j) NextOf(*loader, 2, 8);
  }
}

TEST(EvalWindows, GivesEveryFullWindowAndPadsTheRest) {
  const auto eval = EvalWindows::Create(Counting(72), 3, 10);  // seven windows, one token left over
  ASSERT_TRUE(eval.ok());
  EXPECT_EQ(eval->windows(), 7);
  EXPECT_EQ(eval->batches(), 3);
  Ids tokens(30), targets(30);
  EXPECT_EQ(*eval->Read(3, tokens, targets), 3);
  EXPECT_EQ(tokens[0], 30);
  EXPECT_EQ(targets[29], 60);
  EXPECT_EQ(*eval->Read(6, tokens, targets), 1);
  EXPECT_EQ(tokens[9], 69);
  EXPECT_EQ(targets[9], 70);
  EXPECT_EQ(tokens[10], 0);
  EXPECT_EQ(std::count(targets.begin(), targets.end(), -1), 20);
  EXPECT_EQ(EvalWindows::Create(Counting(71), 3, 10)->windows(), 7);
  EXPECT_EQ(EvalWindows::Create(Counting(70), 3, 10)->windows(), 6);
  EXPECT_THAT(Message(EvalWindows::Create(Counting(10), 3, 10).status()), HasSubstr("has 10 tokens"));
}

}  // namespace
}  // namespace gptc
