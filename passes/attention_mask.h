// What attention masks are made of: values that depend only on whether a query may see a key by the causal order, and
// on whether both are of one segment (one document of a packed sequence). People write them with iota and compare,
// casts, arithmetic and select; whatever the expression, it is a table of four numbers.
#ifndef GPTC_PASSES_ATTENTION_MASK_H_
#define GPTC_PASSES_ATTENTION_MASK_H_

#include <array>
#include <map>
#include <optional>

#include "ir/graph.h"
#include "ir/reference.h"

namespace gptc {

struct AttentionMask {
  // The value for [key is at the query's place or before it][both are of one segment].
  std::array<std::array<double, 2>, 2> values = {};
  Value segments;  // i32 with an element a token, [B, T] in order; invalid where no segments matter

  bool constant() const {
    return values[0][0] == values[1][1] && values[0][0] == values[0][1] && values[0][0] == values[1][0];
  }
};

// Recognises masks of scores of one shape, [B, heads, T, T] or, of one head, [B, T, T].
class MaskReader {
 public:
  MaskReader(const Graph& graph, Shape scores) : graph_(graph), scores_(std::move(scores)) {}

  // Nothing where the value depends on anything else.
  std::optional<AttentionMask> Read(Value value);

 private:
  std::optional<AttentionMask> Evaluate(Value value);
  std::optional<AttentionMask> Positions(const OpNode& compare) const;
  std::optional<AttentionMask> SameSegment(const OpNode& compare) const;
  std::optional<AttentionMask> Elementwise(const OpNode& node);
  // A value whose elements are their own indices along an axis, counted from the last.
  struct Index {
    int64_t size, axis;
  };
  std::optional<Index> IndexOf(Value value, int depth) const;
  bool CoversScores(Value value) const;
  bool CoversBatch(Value value) const;
  const OpNode* Producer(Value value) const;

  const Graph& graph_;
  Shape scores_;
  std::map<int, std::optional<AttentionMask>> known_;  // by value id
  int depth_ = 0;
};

}  // namespace gptc

#endif  // GPTC_PASSES_ATTENTION_MASK_H_
