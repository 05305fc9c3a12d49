#include "runtime/generate/prompt.h"

namespace gptc {

StatusOr<Prompt> MakePrompt(const Tokenizer& tokenizer, std::string_view text) {
  Prompt prompt;
  if (!text.empty()) {
    ASSIGN_OR_RETURN(prompt.tokens, tokenizer.Encode(text));
    return prompt;
  }
  if (tokenizer.eot()) {
    prompt.tokens = {*tokenizer.eot()};
    prompt.remark = "no prompt: starting from the end-of-text token";
    return prompt;
  }
  const StatusOr<std::vector<int32_t>> line = tokenizer.Encode("\n");
  const bool has_line = line.ok() && line->size() == 1;
  prompt.tokens = {has_line ? line->front() : 0};
  prompt.remark = Cat("no prompt: starting from ", has_line ? "a line feed" : "token 0");
  return prompt;
}

}  // namespace gptc
