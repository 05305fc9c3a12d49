// The loss of a model on held-out tokens, and HellaSwag, through the plan's entry point
//   score  tokens i32[B, T], targets i32[B, T] -> losses f32[B, T]   (0 where the target is -1)
#ifndef GPTC_RUNTIME_TRAIN_EVALUATE_H_
#define GPTC_RUNTIME_TRAIN_EVALUATE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/data/shards.h"
#include "runtime/data/tokenizer/tokenizer.h"
#include "runtime/exec/executor.h"

namespace gptc {

inline constexpr const char* kScoreEntry = "score";

// The entry point with its batch and sequence. InvalidArgument where the plan has none, or its ports are not as above.
struct Scorer {
  static StatusOr<Scorer> Create(Executor& executor);
  BoundEntry* entry = nullptr;
  int64_t batch = 0, sequence = 0;  // B, T

  std::span<int32_t> tokens() const;
  std::span<int32_t> targets() const;
  std::span<const float> losses() const;  // of the last run
};

struct Evaluation {
  double loss = 0;  // mean over all tokens, in nats
  int64_t tokens = 0, windows = 0;
};

// Called after each batch with the losses of its windows, row-major [windows, T].
using LossesCallback = std::function<Status(std::span<const float>)>;
// Called with how many of how many are done.
using DoneCallback = std::function<void(int64_t, int64_t)>;

// Every full window of T tokens in order; the sum is in double. Aborted where the mean is not finite.
StatusOr<Evaluation> EvaluateWindows(const Scorer& scorer, std::shared_ptr<const ShardSet> shards,
                                     const LossesCallback& on_losses = nullptr, const DoneCallback& on_done = nullptr);

// One question: how does `context` go on?
struct Choice {
  std::string context;
  std::vector<std::string> endings;  // one at least
  int label = 0;                     // the right one
};

// Lines of {"ctx": "...", "endings": ["...", ...], "label": 0}. InvalidArgument that names `where` and the line.
StatusOr<std::vector<Choice>> ParseHellaSwag(std::string_view text, std::string_view where);

struct HellaSwagResult {
  double accuracy = 0;             // share of questions whose right ending has the least summed loss
  double accuracy_normalized = 0;  // the same with the mean loss over the ending's tokens
  std::vector<std::array<int, 2>> chosen;
};

// A row is tokens(context) + tokens(" " + ending); the losses of the ending's tokens count. A row that is longer than T
// + 1 tokens loses its beginning. Of equal losses the first ending is chosen.
StatusOr<HellaSwagResult> EvaluateHellaSwag(const Scorer& scorer, const Tokenizer& tokenizer, int64_t vocab,
                                            std::span<const Choice> choices, const DoneCallback& on_done = nullptr);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_EVALUATE_H_
