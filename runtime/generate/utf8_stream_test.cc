#include "runtime/generate/utf8_stream.h"

#include "gtest/gtest.h"
#include "runtime/data/tokenizer/utf8.h"

namespace gptc {
namespace {

constexpr const char* kBad = "\xEF\xBF\xBD";

std::string ByteByByte(std::string_view text) {
  Utf8Stream stream;
  std::string out;
  for (char byte : text) {
    const std::string piece = stream.Push(std::string_view(&byte, 1));
    EXPECT_EQ(ValidPrefix(piece), piece.size());  // whole characters only
    out += piece;
  }
  return out + stream.Finish();
}

TEST(Utf8Stream, HoldsSplitCharactersBack) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xE2\x82"), "a");
  EXPECT_EQ(stream.Push("\xAC!"), "\xE2\x82\xAC!");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Utf8Stream, ValidTextComesThroughUnchanged) {
  const std::string text = "caf\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80 \xED\x9F\xBF \xF4\x8F\xBF\xBF";
  EXPECT_EQ(ByteByByte(text), text);
}

TEST(Utf8Stream, WhatIsNoCharacterIsReplaced) {
  EXPECT_EQ(ByteByByte("a\xFF"
                       "b"),
            std::string("a") + kBad + "b");
  EXPECT_EQ(ByteByByte("\x80"), kBad);
  EXPECT_EQ(ByteByByte("\xE2\x82"), kBad);  // cut short: one for the beginning
  EXPECT_EQ(ByteByByte("\xE2\x82"
                       "A"),
            std::string(kBad) + "A");
  EXPECT_EQ(ByteByByte("\xC0\xAF"), std::string(kBad) + kBad);             // overlong
  EXPECT_EQ(ByteByByte("\xED\xA0\x80"), std::string(kBad) + kBad + kBad);  // a surrogate
  EXPECT_EQ(ByteByByte("\xF4\x90"), std::string(kBad) + kBad);             // past U+10FFFF
  EXPECT_EQ(ByteByByte("\xC3\xC3\xA9"), std::string(kBad) + "\xC3\xA9");
}

}  // namespace
}  // namespace gptc
