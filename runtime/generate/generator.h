// Generation with a cache of keys and values, through a plan's entry points
//   prefill  tokens i32[1, P], positions i32[1, P], slots i32[1], last i32[1] -> logits [1, V]
//   decode   tokens i32[N, 1], positions i32[N, 1], slots i32[N]              -> logits [N, V]
#ifndef GPTC_RUNTIME_GENERATE_GENERATOR_H_
#define GPTC_RUNTIME_GENERATE_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "ir/base/status.h"
#include "runtime/exec/executor.h"
#include "runtime/generate/sampler.h"

namespace gptc {

inline constexpr const char* kPrefillEntry = "prefill";
inline constexpr const char* kDecodeEntry = "decode";

// One text that grows, its keys and values in slot 0 of the cache. Past the context the window slides as in nanoGPT's
// generate: each token is predicted from the last `context` tokens alone, at positions from 0 on, so the cache is then
// filled anew for every token.
class Generator {
 public:
  // `executor` has prefill and decode bound, and outlives the generator. InvalidArgument where the plan lacks one or
  // their ports are not as above.
  static StatusOr<Generator> Create(Executor& executor);

  int64_t context() const { return context_; }
  int64_t vocab() const { return vocab_; }  // ids that the model knows, padding not counted

  // Adds tokens to the text; gives the logits [vocab] of what follows its last token, valid until the next call.
  // InvalidArgument for no tokens, or an id outside the vocabulary.
  StatusOr<std::span<const float>> Append(std::span<const int32_t> tokens);
  // Starts a new text.
  void Clear() { text_.clear(), cached_ = 0; }
  // The last tokens of the text, `context` at most.
  std::span<const int32_t> window() const { return text_; }

 private:
  Generator() = default;
  Status Prefill(int64_t begin, int64_t end);
  Status Decode(int64_t position);
  void KeepLogits(const TensorView& logits);

  BoundEntry *prefill_ = nullptr, *decode_ = nullptr;
  int64_t context_ = 0, vocab_ = 0;
  int64_t chunk_ = 0;    // P
  int64_t streams_ = 0;  // N
  std::vector<int32_t> text_;
  int64_t cached_ = 0;  // the first tokens of text_, whose keys and values the cache holds
  std::vector<float> logits_;
};

struct GenerateOptions {
  int64_t max_new_tokens = 100;
  std::optional<int32_t> eot;  // ends the text; it is not part of the result
};

// Called with each new token as it is made; false ends the text there.
using TokenCallback = std::function<bool(int32_t)>;

// Continues `prompt`, which is not empty; of one that is longer than the context its end counts. Gives the new tokens.
StatusOr<std::vector<int32_t>> Generate(Generator& generator, Sampler& sampler, std::span<const int32_t> prompt,
                                        const GenerateOptions& options, const TokenCallback& on_token = nullptr);

}  // namespace gptc

#endif  // GPTC_RUNTIME_GENERATE_GENERATOR_H_
