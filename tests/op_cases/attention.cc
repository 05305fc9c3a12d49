#include <cmath>
#include <limits>

#include "tests/op_cases/op_cases.h"

namespace gptc {
namespace {

// Sets inputs[i] to these integers.
std::function<void(std::vector<HostTensor>&)> Set(size_t i, std::vector<double> positions, std::vector<double> slots) {
  return [=](std::vector<HostTensor>& inputs) {
    inputs[i].data = positions;
    inputs[i + 1].data = slots;
  };
}

}  // namespace

std::vector<OpCase> AttentionCases() {
  std::vector<OpCase> cases;
  for (const Shape& shape :
       {Shape{1, 1}, Shape{3, 3}, Shape{2, 4, 4}, Shape{2, 3, 5}, Shape{33, 33}, Shape{2, 65, 1031}, Shape{9, 4}}) {
    const std::string label = ShapeText(shape);
    cases.push_back({label, Op::kCausalMask, {F32(shape)}, {}, 0});
    cases.push_back({label + " bf16", Op::kCausalMask, {BF16(shape)}, {}, 0});
    for (const bool causal : {false, true}) {
      const Attributes attributes = {{"causal", causal}};
      const std::string name = label + (causal ? " causal" : "");
      cases.push_back({name, Op::kSoftmax, {F32(shape)}, attributes});
      cases.push_back({name + " bf16", Op::kSoftmax, {BF16(shape)}, attributes});
      cases.push_back({name, Op::kSoftmaxBackward, {F32(shape, Fill::kSmall), F32(shape)}, attributes});
      cases.push_back({name + " bf16", Op::kSoftmaxBackward, {BF16(shape, Fill::kSmall), BF16(shape)}, attributes});
    }
  }
  cases.push_back({"large values", Op::kSoftmax, {F32({9, 33}, Fill::kWide)}, {}, 1, false});
  cases.push_back({"one axis", Op::kSoftmax, {F32({7})}});
  cases.push_back({"some -inf, and a row of nothing else",
                   Op::kSoftmax,
                   {F32({9, 33})},
                   {},
                   1,
                   false,
                   [](std::vector<HostTensor>& inputs) {
                     for (size_t i = 0; i < 33; ++i) inputs[0].data[i] = -std::numeric_limits<double>::infinity();
                     for (size_t i = 33; i < inputs[0].data.size(); i += 3)
                       inputs[0].data[i] = -std::numeric_limits<double>::infinity();
                   }});

  const auto cache_update = [&](const std::string& label, int64_t slots, int64_t context, int64_t b, int64_t t,
                                int64_t width, std::vector<double> positions, std::vector<double> places) {
    const auto prepare = Set(2, std::move(positions), std::move(places));
    cases.push_back({label,
                     Op::kCacheUpdate,
                     {F32({slots, context, width}), F32({b, t, width}), I32({b}), I32({b})},
                     {},
                     0,
                     false,
                     prepare});
    cases.push_back({label + " bf16",
                     Op::kCacheUpdate,
                     {BF16({slots, context, width}), BF16({b, t, width}), I32({b}), I32({b})},
                     {},
                     0,
                     false,
                     prepare});
  };
  cache_update("one token", 1, 9, 1, 1, 5, {4}, {0});
  cache_update("three rows of three", 4, 16, 3, 3, 33, {0, 5, 13}, {2, 0, 3});
  cache_update("large", 3, 300, 2, 64, 768, {0, 100}, {1, 2});
  cache_update("no slot, and past the context", 2, 8, 3, 3, 5, {1, 6, 0}, {-1, 1, 0});

  const auto attention = [&](const std::string& label, int64_t slots, int64_t context, int64_t b, int64_t t,
                             int64_t heads, int64_t head_size, std::vector<double> positions,
                             std::vector<double> places) {
    const int64_t width = heads * head_size;
    const auto prepare = Set(3, std::move(positions), std::move(places));
    const Attributes attributes = {{"heads", heads}, {"scale", 1 / std::sqrt(static_cast<double>(head_size))}};
    const Shape cache = {slots, context, width};
    cases.push_back({label,
                     Op::kCachedAttention,
                     {F32({b, t, width}), F32(cache), F32(cache), I32({b}), I32({b})},
                     attributes,
                     1,
                     false,
                     prepare});
    cases.push_back({label + " bf16",
                     Op::kCachedAttention,
                     {BF16({b, t, width}), BF16(cache), BF16(cache), I32({b}), I32({b})},
                     attributes,
                     1,
                     false,
                     prepare});
  };
  attention("first token", 1, 9, 1, 1, 1, 5, {0}, {0});
  attention("one token", 2, 40, 2, 1, 3, 16, {30, 7}, {1, 0});
  attention("prompt", 2, 70, 2, 64, 2, 64, {0, 5}, {1, 0});
  attention("long", 1, 1100, 1, 1, 12, 64, {1090}, {0});
  attention("no slot", 2, 8, 2, 2, 2, 4, {3, 3}, {-1, 1});
  attention("past the context", 1, 8, 1, 4, 2, 4, {6}, {0});
  return cases;
}

}  // namespace gptc
