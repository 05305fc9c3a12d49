#include "runtime/cpu/bf16_tile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <vector>

#include "ir/base/dtype.h"

namespace gptc {
namespace {

template <typename T>
struct Aligned {
  explicit Aligned(int64_t count)
      : data(static_cast<T*>(::operator new(sizeof(T) * static_cast<size_t>(count), std::align_val_t(64)))) {
    std::memset(static_cast<void*>(data), 0xff, sizeof(T) * static_cast<size_t>(count));  // NaN
  }
  ~Aligned() { ::operator delete(data, std::align_val_t(64)); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  T* data;
};

class Bf16Tile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasBf16Tiles()) GTEST_SKIP() << "this machine has no AVX512_BF16";
  }
  float Number() { return FloatFromBf16(Bf16FromFloat(normal_(random_))); }

  std::mt19937 random_{7};
  std::normal_distribution<float> normal_;
};

constexpr int64_t kStride = 64;

// Whether element `inner` of row r and column c counts, and whether the element of the result does.
bool Counts(Live live, int64_t r, int64_t c, int64_t inner) {
  switch (live) {
    case Live::kInnerToColumn:
      return inner <= c;
    case Live::kInnerFromRow:
      return inner >= r;
    default:
      return true;
  }
}

TEST_F(Bf16Tile, Products) {
  for (const Live live : {Live::kAll, Live::kColumnsFromRow, Live::kInnerToColumn, Live::kInnerFromRow}) {
    for (const auto& [rows, inner, columns] :
         {std::array<int64_t, 3>{64, 64, 64}, {8, 2, 16}, {5, 1, 16}, {17, 31, 48}}) {
      Aligned<Bf16> a(64 * kStride);
      Aligned<uint32_t> b(32 * kStride);
      Aligned<float> c(64 * kStride), factors(64);
      std::vector<float> left(64 * 64), right(64 * 64), before(64 * 64);
      // Where the triangle leaves something out both operands must have zeros, as tiles of weights do.
      for (int64_t r = 0; r < 64; ++r) {
        for (int64_t i = 0; i < 64; ++i) {
          const bool zero = r >= rows || i >= inner || (live == Live::kInnerFromRow && i < r);
          left[r * 64 + i] = zero ? 0 : Number();
          a.data[r * kStride + i] = {Bf16FromFloat(left[r * 64 + i])};
        }
      }
      for (int64_t i = 0; i < 64; ++i) {
        for (int64_t j = 0; j < 64; ++j) {
          right[i * 64 + j] = i >= inner || (live == Live::kInnerToColumn && i > j) ? 0 : Number();
        }
      }
      for (int64_t i = 0; i < 64; i += 2) {
        for (int64_t j = 0; j < 64; ++j) {
          b.data[i / 2 * kStride + j] =
              Bf16FromFloat(right[i * 64 + j]) | static_cast<uint32_t>(Bf16FromFloat(right[(i + 1) * 64 + j])) << 16;
        }
      }
      for (const Into into : {Into::kNew, Into::kSum, Into::kScaledSum}) {
        for (int64_t k = 0; k < 64 * 64; ++k)
          c.data[k] = before[static_cast<size_t>(k)] = into == Into::kNew ? std::nanf("") : Number();
        for (int64_t j = 0; j < 64; ++j) factors.data[j] = Number();
        MultiplyPairs({.live = live,
                       .into = into,
                       .a = a.data,
                       .stride_a = kStride,
                       .b = b.data,
                       .stride_b = kStride,
                       .rows = rows,
                       .inner = inner,
                       .columns = columns,
                       .c = c.data,
                       .stride_c = kStride,
                       .factor = 0.25f,
                       .factors = factors.data});
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t j = live == Live::kColumnsFromRow ? r : 0; j < columns; ++j) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < inner; ++i) {
              if (!Counts(live, r, j, i)) continue;
              const double term = static_cast<double>(left[r * 64 + i]) * static_cast<double>(right[i * 64 + j]);
              sum += term;
              size += std::abs(term);
            }
            const double old = static_cast<double>(before[r * 64 + j]);
            const double wanted = into == Into::kNew   ? 0.25 * sum
                                  : into == Into::kSum ? sum + old
                                                       : sum + old * static_cast<double>(factors.data[j]);
            ASSERT_NEAR(c.data[r * kStride + j], wanted, 1e-6 * (size + std::abs(wanted)) + 1e-7)
                << "live " << static_cast<int>(live) << ", into " << static_cast<int>(into) << ", " << rows << "x"
                << inner << "x" << columns << " at " << r << ", " << j;
          }
        }
      }
    }
  }
}

TEST_F(Bf16Tile, RoundingMakesBothLayouts) {
  constexpr int64_t kRows = 21, kAll = 24, kColumns = 32;
  Aligned<float> tile(64 * kStride);
  Aligned<Bf16> left(64 * kStride);
  Aligned<uint32_t> right(32 * kStride);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t j = 0; j < kColumns; ++j) tile.data[r * kStride + j] = normal_(random_);
  }
  for (const bool upper : {false, true}) {
    RoundTile(tile.data, kStride, kRows, kColumns, upper, left.data, right.data);
    for (int64_t r = 0; r < kAll; ++r) {
      for (int64_t j = 0; j < kColumns; ++j) {
        const bool zero = r >= kRows || (upper && r >= j / 16 * 16 + 16);
        const uint16_t wanted = zero ? 0 : Bf16FromFloat(tile.data[r * kStride + j]);
        ASSERT_EQ(left.data[r * kStride + j].bits, wanted) << r << ", " << j;
        ASSERT_EQ(static_cast<uint16_t>(right.data[r / 2 * kStride + j] >> (r % 2 * 16)), wanted) << r << ", " << j;
      }
    }
  }
}

TEST_F(Bf16Tile, RowsArePairedAndTurned) {
  constexpr int64_t kTokens = 19, kSize = 20, kPadded = 32, kAllTokens = 32;
  std::vector<Bf16> x(kTokens * 50);
  for (Bf16& each : x) each = {static_cast<uint16_t>(random_())};
  Aligned<Bf16> rows(kAllTokens * kPadded);
  CopyRows(x.data(), 50, kTokens, kSize, kPadded, rows.data);
  const auto element = [&](int64_t t, int64_t j) -> uint16_t {
    return t < kTokens && j < kSize ? x[static_cast<size_t>(t * 50 + j)].bits : 0;
  };
  Aligned<uint32_t> pairs(kAllTokens / 2 * kPadded), across(kPadded / 2 * kStride), turned(kPadded * kStride);
  PairRows(rows.data, kPadded, kAllTokens, kPadded, pairs.data, kPadded);
  TransposeWords(reinterpret_cast<const uint32_t*>(rows.data), kPadded / 2, kAllTokens, kPadded / 2, across.data,
                 kStride);
  TransposeWords(pairs.data, kPadded, kAllTokens / 2, kPadded, turned.data, kStride);
  for (int64_t t = 0; t < kAllTokens; ++t) {
    for (int64_t j = 0; j < kPadded; ++j) {
      ASSERT_EQ(rows.data[t * kPadded + j].bits, element(t, j));
      ASSERT_EQ(static_cast<uint16_t>(pairs.data[t / 2 * kPadded + j] >> (t % 2 * 16)), element(t, j));
      ASSERT_EQ(static_cast<uint16_t>(across.data[j / 2 * kStride + t] >> (j % 2 * 16)), element(t, j));
      ASSERT_EQ(static_cast<uint16_t>(turned.data[j * kStride + t / 2] >> (t % 2 * 16)), element(t, j));
    }
  }
}

TEST_F(Bf16Tile, NumbersThatAreNoneStaySo) {
  Aligned<float> x(64);
  Aligned<Bf16> y(64);
  std::fill_n(x.data, 16, 1.0f);
  x.data[0] = std::numeric_limits<float>::infinity();
  x.data[1] = std::nanf("");
  x.data[2] = std::numeric_limits<float>::max();
  RoundRows(x.data, 16, 1, 16, y.data, 16);
  EXPECT_TRUE(std::isinf(ToFloat(y.data[0])));
  EXPECT_TRUE(std::isnan(ToFloat(y.data[1])));
  EXPECT_TRUE(std::isinf(ToFloat(y.data[2])));
  EXPECT_EQ(ToFloat(y.data[3]), 1);
}

}  // namespace
}  // namespace gptc
