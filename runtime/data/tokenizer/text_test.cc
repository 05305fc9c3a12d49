// UTF-8 and the split into pieces.
#include <gtest/gtest.h>

#include "runtime/data/tokenizer/pieces.h"
#include "runtime/data/tokenizer/utf8.h"

namespace gptc {
namespace {

TEST(Utf8, CodePointsGoThereAndBack) {
  for (uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    AppendCharacter(code, &text);
    const Character c = FirstCharacter(text + "\x80");
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(static_cast<size_t>(c.size), text.size());
  }
}

TEST(Utf8, InvalidBytesStandForThemselves) {
  for (std::string_view text : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                                "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xC3"}) {
    const Character c = FirstCharacter(text);
    EXPECT_EQ(c.code, kRawByte + static_cast<unsigned char>(text[0]));
    EXPECT_EQ(c.size, 1);
    EXPECT_EQ(ValidPrefix(text), 0u);
  }
}

TEST(Utf8, CountsAndOffsets) {
  const std::string text =
      "0123456789abcdef\xC3\xA9\xFFz\xE2\x82\xAC"
      "01234567";
  EXPECT_EQ(CountCharacters(text), 16 + 1 + 1 + 1 + 1 + 8);
  EXPECT_EQ(ValidPrefix(text), 18u);
  EXPECT_EQ(OffsetOfCharacter(text, 0), 0u);
  EXPECT_EQ(OffsetOfCharacter(text, 16), 16u);
  EXPECT_EQ(OffsetOfCharacter(text, 17), 18u);
  EXPECT_EQ(OffsetOfCharacter(text, 18), 19u);
  EXPECT_EQ(OffsetOfCharacter(text, 20), 23u);
  EXPECT_EQ(OffsetOfCharacter(text, 1000), text.size());
}

std::vector<std::string> Pieces(std::string_view text) {
  std::vector<std::string> pieces;
  PieceReader reader(text);
  for (std::string_view piece; reader.Next(&piece);) pieces.emplace_back(piece);
  return pieces;
}

using List = std::vector<std::string>;

TEST(Pieces, SplitAsGpt2Does) {
  EXPECT_EQ(Pieces(""), List());
  EXPECT_EQ(Pieces("Hello world's  end, 42nd.\n\n ok"),
            (List{"Hello", " world", "'s", " ", " end", ",", " 42", "nd", ".", "\n\n", " ok"}));
  EXPECT_EQ(Pieces("they'll'LL"), (List{"they", "'ll", "'", "LL"}));
  EXPECT_EQ(Pieces("a \n b  "), (List{"a", " \n", " b", "  "}));
}

TEST(Pieces, MongolianVowelSeparatorIsNoSpace) { EXPECT_EQ(Pieces("\u180e"), (List{"\u180e"})); }

TEST(Pieces, UnicodeSpaceAndLetters) {
  EXPECT_EQ(Pieces("été\u00a0\u3000漢字 ½"), (List{"été", "\u00a0", "\u3000", "漢字", " ½"}));
}

TEST(Pieces, InvalidBytesAreCutOut) {
  EXPECT_EQ(Pieces("ab\xFF\xFE cd\xE2\x82"), (List{"ab", "\xFF", "\xFE", " cd", "\xE2", "\x82"}));
  EXPECT_EQ(Pieces(std::string_view("a\0b", 3)), (List{"a", std::string("\0", 1), "b"}));
}

}  // namespace
}  // namespace gptc
