#include "runtime/generate/prompt.h"

#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(Prompt, TextAndWhatStandsInForNone) {
  auto bytes = MakeBytesTokenizer();
  auto text = MakePrompt(*bytes, "Hi");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->tokens, (std::vector<int32_t>{'H', 'i'}));
  EXPECT_EQ(text->remark, "");
  auto none = MakePrompt(*bytes, "");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->tokens, std::vector<int32_t>{*bytes->eot()});
  EXPECT_NE(none->remark, "");
}

TEST(Prompt, CharactersHaveNoEndOfText) {
  const std::string_view with[] = {"ab\n"}, without[] = {"ab"};
  auto line = MakePrompt(**MakeCharsTokenizer(with), ""), first = MakePrompt(**MakeCharsTokenizer(without), "");
  ASSERT_TRUE(line.ok() && first.ok());
  EXPECT_EQ(line->tokens, std::vector<int32_t>{0});  // "\n" sorts before letters
  EXPECT_EQ(first->tokens, std::vector<int32_t>{0});
  EXPECT_NE(line->remark, first->remark);
  EXPECT_FALSE(MakePrompt(**MakeCharsTokenizer(without), "abc").ok());
}

}  // namespace
}  // namespace gptc
