#include <cmath>
#include <limits>

#include "ir/base/scalars.h"
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
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 3}, Shape{2, 4, 4}, Shape{2, 3, 5}, Shape{33, 33},
                             Shape{2, 65, 1031}, Shape{9, 4}, Shape{3, 64}, Shape{6, 520}, Shape{5, 1032}}) {
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

  cache_update("two to one slot", 2, 9, 2, 3, 5, {2, 3}, {1, 1});

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
  attention("long, of some queries", 1, 1100, 1, 5, 2, 12, {1000}, {0});
  attention("wide head", 1, 20, 1, 1, 1, 200, {9}, {0});
  attention("wide head, some queries", 1, 20, 1, 2, 1, 200, {9}, {0});
  attention("past the context", 1, 8, 1, 4, 2, 4, {6}, {0});

  // `segment` is the length of a sequence's segments; the last may be shorter. 0: no segments.
  const auto flash = [&](const std::string& label, int64_t b, int64_t t, int64_t heads, int64_t head_size, bool causal,
                         double rate, double amplitude, int64_t segment = 0) {
    const int64_t width = heads * head_size;
    const Attributes attributes = {{"heads", heads},
                                   {"scale", 1 / std::sqrt(static_cast<double>(head_size))},
                                   {"causal", causal},
                                   {"rate", rate},
                                   {"key", int64_t{0x123456789abcdef}}};
    const std::string name = Cat(label, causal ? " causal" : "", rate > 0 ? " dropout" : "",
                                 segment > 0 ? Cat(", segments of ", segment) : "");
    // Ids that rise and fall along a sequence and differ between sequences.
    const auto fill_segments = [=](HostTensor& ids) {
      for (int64_t i = 0; i < b * t; ++i) ids.data[i] = static_cast<double>((i % t / segment * 7 + i / t) % 5 - 2);
    };
    for (const bool bf16 : {false, true}) {
      const auto input = bf16 ? &BF16 : &F32;
      const std::string type = bf16 ? " bf16" : "";
      std::vector<CaseInput> forward = {input({b, t, 3 * width}, Fill::kNormal)};
      std::vector<CaseInput> backward = {input({b, t, width}, Fill::kNormal), forward[0],
                                         input({b, t, width}, Fill::kNormal), F32({b, heads, t})};
      if (rate > 0) forward.push_back(ScalarsInput());
      if (rate > 0) backward.push_back(ScalarsInput());
      if (segment > 0) forward.push_back(I32({b, t}));
      if (segment > 0) backward.push_back(I32({b, t}));
      const auto prepare_forward = [=](std::vector<HostTensor>& inputs) {
        if (segment > 0) fill_segments(inputs.back());
      };
      cases.push_back({name + type, Op::kFlashAttention, forward, attributes, amplitude, true, prepare_forward});
      // y and lse are what the forward gives.
      const auto prepare = [=](std::vector<HostTensor>& inputs) {
        prepare_forward(inputs);
        std::vector<const HostTensor*> operands = {&inputs[1]};
        for (size_t i = 4; i < inputs.size(); ++i) operands.push_back(&inputs[i]);
        const Type types[] = {inputs[2].type, inputs[3].type};
        std::vector<HostTensor> results =
            EvaluateOp(Op::kFlashAttention, operands, attributes, types, Rounding::kRounded);
        inputs[2] = std::move(results[0]);
        inputs[3] = std::move(results[1]);
      };
      cases.push_back({name + type, Op::kFlashAttentionBackward, backward, attributes, 4 * amplitude, true, prepare});
    }
  };
  for (const bool causal : {false, true}) {
    for (const double rate : {0.0, 0.3}) {
      flash("small", 1, 3, 2, 2, causal, rate, 2);
      flash("small, aligned", 1, 4, 1, 3, causal, rate, 2);
      flash("one token", 2, 1, 2, 1, causal, rate, 2);
      flash("one element to a head", 1, 19, 3, 1, causal, rate, 2);
      flash("odd heads", 2, 33, 3, 12, causal, rate, 2);
      flash("two blocks, the second short", 1, 65, 2, 20, causal, rate, 2);
      flash("one block", 2, 64, 4, 32, causal, rate, 2);
      flash("three blocks", 1, 192, 1, 64, causal, rate, 4);
      flash("short end", 1, 150, 1, 80, causal, rate, 4);
      flash("wide head", 1, 131, 1, 128, causal, rate, 4);
      flash("heads of 64", 2, 70, 2, 64, causal, rate, 4);
      flash("heads of 64, two short blocks", 1, 200, 1, 64, causal, rate, 4);
      flash("heads of 40", 1, 129, 3, 40, causal, rate, 4);
      flash("one to a block of 64", 1, 200, 2, 64, causal, rate, 4, 70);
      flash("each token alone", 1, 9, 2, 2, causal, rate, 2, 1);
      flash("one token", 2, 1, 1, 2, causal, rate, 2, 3);
      flash("all together", 1, 70, 1, 3, causal, rate, 2, 100);
      flash("two to a block", 2, 150, 2, 12, causal, rate, 4, 40);
      flash("three blocks to one", 1, 420, 1, 16, causal, rate, 4, 200);
    }
  }
  flash("wider than a block", 1, 9, 1, 300, true, 0, 4);
  flash("the widest that is fused", 1, 70, 1, 256, true, 0, 4);
  flash("nothing", 0, 5, 2, 4, true, 0, 1);
  cases.push_back({"scores far apart",
                   Op::kFlashAttention,
                   {F32({1, 70, 30}, Fill::kWide)},
                   {{"heads", int64_t{2}}, {"scale", 1.0}, {"causal", true}},
                   1e3,
                   false});
  cases.push_back({"great counters of dropout",
                   Op::kFlashAttention,
                   {F32({3, 37, 24}), ScalarsInput()},
                   {{"heads", int64_t{2}}, {"scale", 0.5}, {"causal", true}, {"rate", 0.5}, {"key", int64_t{7}}},
                   2,
                   true,
                   [](std::vector<HostTensor>& inputs) {
                     inputs[1].data[kStep] = 5e9;
                     inputs[1].data[kFirstSequence] = 4294967295;
                     inputs[1].data[kSeed] = 9007199254740991;
                   }});
  return cases;
}

}  // namespace gptc
