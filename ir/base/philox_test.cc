#include "ir/base/philox.h"

#include <gtest/gtest.h>

namespace gptc {
namespace {

// The known answers that the authors' library (Random123) publishes for philox4x32-10.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The first output of splitmix64 seeded with 0.
TEST(Philox, Mix64) { EXPECT_EQ(Mix64(0), 0xe220a8397b1dcdafu); }

TEST(Philox, CounterLayout) {
  EXPECT_EQ(DropoutCounter(0x0000'0003'0000'0004u, 0x0000'0005'0000'0006u, 7), (PhiloxCounter{4, 6, 7, 3u | 5u << 16}));
  EXPECT_NE(DropoutKey(1, 2), DropoutKey(2, 1));
}

TEST(Philox, Threshold) {
  EXPECT_EQ(DropoutThreshold(0), 0u);
  EXPECT_EQ(DropoutThreshold(0.5), 0x80000000u);
  EXPECT_EQ(DropoutThreshold(1 - 0x1p-53), 0xffffffffu);
}

}  // namespace
}  // namespace gptc
