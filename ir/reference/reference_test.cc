#include "ir/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ir/base/infer.h"
#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "ir/builder.h"

namespace gptc {
namespace {

using enum DType;
using testing::ElementsAre;
using testing::HasSubstr;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Data = std::vector<double>;
HostTensor F32(Shape shape, Data data) { return {{kF32, std::move(shape)}, std::move(data)}; }
HostTensor F64(Shape shape, Data data) { return {{kF64, std::move(shape)}, std::move(data)}; }
HostTensor I32(Shape shape, Data data) { return {{kI32, std::move(shape)}, std::move(data)}; }
auto Near(Data expected) { return testing::Pointwise(testing::DoubleNear(1e-9), expected); }

std::vector<HostTensor> RunOp(std::string_view name, const std::vector<HostTensor>& inputs, Attributes attributes = {},
                              Rounding rounding = Rounding::kExact) {
  const OpInfo& info = InfoOf(*OpNamed(name));
  EXPECT_TRUE(CompleteAttributes(info, attributes).ok());
  std::vector<Type> types;
  std::vector<const HostTensor*> pointers;
  for (const HostTensor& input : inputs) {
    types.push_back(input.type);
    pointers.push_back(&input);
    EXPECT_EQ(ElementCount(input.type.shape), static_cast<int64_t>(input.data.size()));
  }
  InferResult results = InferTypes({info, types, attributes, {}, {}});
  EXPECT_TRUE(results.ok()) << results.status();
  return EvaluateOp(info.op, pointers, attributes, *results, rounding);
}
Data One(std::string_view name, const std::vector<HostTensor>& inputs, Attributes attributes = {}) {
  return RunOp(name, inputs, std::move(attributes))[0].data;
}

TEST(Reference, RoundsToTypes) {
  auto rounded = [](DType dtype, double value) {
    HostTensor tensor{{dtype, {1}}, {value}};
    RoundToType(tensor);
    return tensor.data[0];
  };
  EXPECT_EQ(rounded(kF64, 0.1), 0.1);
  EXPECT_EQ(rounded(kF32, 0.1), static_cast<double>(0.1f));
  EXPECT_EQ(rounded(kBF16, 1.01), 1.0078125);
  EXPECT_EQ(rounded(kF16, 1e6), kInf);
  EXPECT_EQ(rounded(kI32, -2.7), -2);
  EXPECT_EQ(rounded(kI32, 1e20), 2147483647);
  EXPECT_EQ(rounded(kI32, kNan), 0);
  EXPECT_EQ(rounded(kU16, -3), 0);
  EXPECT_EQ(rounded(kBool, 0.5), 1);
}

TEST(Reference, RoundingIsOfResults) {
  HostTensor third = F32({1}, {1.0 / 3});
  EXPECT_EQ(RunOp("copy", {third})[0].data[0], 1.0 / 3);
  EXPECT_EQ(RunOp("copy", {third}, {}, Rounding::kRounded)[0].data[0], static_cast<double>(1.0f / 3));
  EXPECT_EQ(One("cast", {F32({2}, {2.9, -2.9})}, {{"to", kI32}}), (Data{2, -2}));
}

TEST(Reference, Elementwise) {
  HostTensor column = F32({2, 1}, {10, 20}), row = F32({3}, {1, 2, 4});
  EXPECT_EQ(One("add", {column, row}), (Data{11, 12, 14, 21, 22, 24}));
  EXPECT_EQ(One("sub", {column, row}), (Data{9, 8, 6, 19, 18, 16}));
  EXPECT_EQ(One("mul", {column, row}), (Data{10, 20, 40, 20, 40, 80}));
  EXPECT_EQ(One("div", {column, row}), (Data{10, 5, 2.5, 20, 10, 5}));
  EXPECT_EQ(One("max", {F32({3}, {1, -1, 2}), F32({}, {1.5})}), (Data{1.5, 1.5, 2}));
  EXPECT_EQ(One("compare", {row, F32({}, {2})}, {{"direction", std::string("ge")}}), (Data{0, 1, 1}));
  EXPECT_EQ(One("compare", {row, F32({}, {2})}, {{"direction", std::string("lt")}}), (Data{1, 0, 0}));
  EXPECT_EQ(One("select", {{{kBool, {2, 1}}, {1, 0}}, row, F32({}, {9})}), (Data{1, 2, 4, 9, 9, 9}));
  EXPECT_THAT(One("rsqrt", {F32({1}, {4})}), Near({0.5}));
  EXPECT_THAT(One("log", {F32({1}, {std::exp(2.0)})}), Near({2}));
  EXPECT_THAT(One("erf", {F32({1}, {1})}), Near({0.842700792949715}));
  EXPECT_EQ(One("constant", {}, {{"value", 3.0}, {"shape", Shape{2}}}), (Data{3, 3}));
}

TEST(Reference, Activations) {
  HostTensor x = F32({3}, {-1, 0, 2});
  EXPECT_THAT(One("gelu", {x}), Near({-0.158808009397, 0, 1.954597694087}));
  EXPECT_THAT(One("gelu", {x}, {{"tanh", false}}), Near({-0.158655253931, 0, 1.954499736104}));
  EXPECT_THAT(One("relu", {x}), ElementsAre(0, 0, 2));
  EXPECT_THAT(One("sigmoid", {x}), Near({0.268941421370, 0.5, 0.880797077978}));
  EXPECT_THAT(One("silu", {x}), Near({-0.268941421370, 0, 1.761594155956}));
  for (bool tanh_form : {false, true}) {  // against a central difference
    Attributes form = {{"tanh", tanh_form}};
    double h = 1e-5;
    for (double at : {-3.0, -0.7, 0.0, 0.3, 1.9}) {
      double up = One("gelu", {F32({1}, {at + h})}, form)[0], down = One("gelu", {F32({1}, {at - h})}, form)[0];
      EXPECT_NEAR(One("gelu_backward", {F32({1}, {at}), F32({1}, {2})}, form)[0], (up - down) / h, 1e-8);
    }
  }
}

TEST(Reference, Movement) {
  HostTensor x = F32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(One("reshape", {x}, {{"shape", Shape{3, 2}}}), x.data);
  EXPECT_EQ(One("broadcast", {F32({2, 1}, {1, 2})}, {{"shape", Shape{2, 2, 2}}}), (Data{1, 1, 2, 2, 1, 1, 2, 2}));
  EXPECT_EQ(One("transpose", {x}, {{"permutation", Shape{1, 0}}}), (Data{1, 4, 2, 5, 3, 6}));
  HostTensor cube = F32({2, 1, 3}, {0, 1, 2, 3, 4, 5});
  EXPECT_EQ(One("transpose", {cube}, {{"permutation", Shape{2, 0, 1}}}), (Data{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(One("slice", {x}, {{"axis", int64_t{1}}, {"start", int64_t{1}}, {"size", Shape{2}}}), (Data{2, 3, 5, 6}));
  EXPECT_EQ(One("slice", {x}, {{"axis", int64_t{0}}, {"start", int64_t{1}}, {"size", Shape{1}}}), (Data{4, 5, 6}));
  EXPECT_EQ(One("pad", {x}, {{"axis", int64_t{1}}, {"low", int64_t{1}}, {"high", int64_t{0}}}),
            (Data{0, 1, 2, 3, 0, 4, 5, 6}));
  std::vector<HostTensor> parts = RunOp("split", {x}, {{"axis", int64_t{1}}, {"parts", int64_t{3}}});
  EXPECT_EQ(parts[1].data, (Data{2, 5}));
  EXPECT_EQ(One("concat", {parts[2], x}, {{"axis", int64_t{1}}}), (Data{3, 1, 2, 3, 6, 4, 5, 6}));
}

TEST(Reference, Reductions) {
  HostTensor x = F32({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(One("sum", {x}, {{"axes", Shape{0, 2}}}), (Data{14, 22}));
  EXPECT_EQ(One("mean", {x}, {{"axes", Shape{1}}, {"keep", true}}), (Data{2, 3, 6, 7}));
  EXPECT_EQ(One("reduce_max", {F32({2, 2}, {-3, -2, -5, -9})}, {{"axes", Shape{1}}}), (Data{-2, -5}));
  EXPECT_EQ(One("sum", {x}, {{"axes", Shape{0, 1, 2}}}), (Data{36}));
}

TEST(Reference, MatMul) {
  HostTensor a = F32({2, 3}, {1, 2, 3, 4, 5, 6}), b = F32({3, 2}, {1, 0, 2, 1, 0, 3});
  EXPECT_EQ(One("matmul", {a, b}), (Data{5, 11, 14, 23}));
  EXPECT_EQ(One("matmul", {a, b, F32({2, 2}, {1, 1, 1, 1})}), (Data{6, 12, 15, 24}));
  HostTensor at = F32({3, 2}, {1, 4, 2, 5, 3, 6}), bt = F32({2, 3}, {1, 2, 0, 0, 1, 3});
  EXPECT_EQ(One("matmul", {at, bt}, {{"transpose_a", true}, {"transpose_b", true}}), (Data{5, 11, 14, 23}));
  // [2, 1, 1, 2] · [3, 2, 1] broadcasts over both leading axes.
  EXPECT_EQ(One("matmul", {F32({2, 1, 1, 2}, {1, 0, 0, 1}), F32({3, 2, 1}, {1, 2, 3, 4, 5, 6})}),
            (Data{1, 3, 5, 2, 4, 6}));
  EXPECT_EQ(One("linear", {a, b, F32({2}, {100, 200})}), (Data{105, 211, 114, 223}));
}

TEST(Reference, Norms) {
  HostTensor x = F32({1, 2}, {1, 3}), w = F32({2}, {2, 10}), bias = F32({2}, {0.5, 0});
  std::vector<HostTensor> norm = RunOp("layer_norm", {x, w, bias}, {{"epsilon", 0.0}});
  EXPECT_THAT(norm[0].data, Near({-1.5, 10}));
  EXPECT_THAT(norm[1].data, Near({2}));
  EXPECT_THAT(norm[2].data, Near({1}));
  // n = (-1, 1), g = (2, 0): mean(g) = 1, mean(g·n) = -1, dx = g - 1 + n.
  std::vector<HostTensor> back = RunOp("layer_norm_backward", {F32({1, 2}, {1, 0}), x, w, norm[1], norm[2]});
  EXPECT_THAT(back[0].data, Near({0, 0}));
  EXPECT_THAT(back[1].data, Near({-1, 0}));
  EXPECT_THAT(back[2].data, Near({1, 0}));
  HostTensor r = F32({1, 2}, {1, 7});  // mean square 25
  std::vector<HostTensor> rms = RunOp("rms_norm", {r, w}, {{"epsilon", 0.0}});
  EXPECT_THAT(rms[0].data, Near({0.4, 14}));
  EXPECT_THAT(rms[1].data, Near({0.2}));
  // n = (0.2, 1.4), g = (2, 0), mean(g·n) = 0.2: dx = 0.2·(2 - 0.04, -0.28).
  std::vector<HostTensor> rms_back = RunOp("rms_norm_backward", {F32({1, 2}, {1, 0}), r, w, rms[1]});
  EXPECT_THAT(rms_back[0].data, Near({0.392, -0.056}));
  EXPECT_THAT(rms_back[1].data, Near({0.2, 0}));
}

TEST(Reference, Softmax) {
  double e = std::exp(1.0);
  EXPECT_THAT(One("softmax", {F32({2}, {1000, 1001})}), Near({1 / (1 + e), e / (1 + e)}));
  EXPECT_EQ(One("softmax", {F32({2}, {-kInf, -kInf})}), (Data{0, 0}));
  EXPECT_EQ(One("softmax", {F32({2, 2}, {5, kNan, 3, 3})}, {{"causal", true}}), (Data{1, 0, 0.5, 0.5}));
  // One more row than columns: the first row sees nothing.
  EXPECT_EQ(One("softmax", {F32({2, 1}, {5, 5})}, {{"causal", true}}), (Data{0, 1}));
  EXPECT_EQ(One("causal_mask", {F32({2, 3}, {1, 2, 3, 4, 5, 6})}), (Data{1, 2, -kInf, 4, 5, 6}));
  EXPECT_THAT(One("softmax_backward", {F32({2}, {0.25, 0.75}), F32({2}, {4, 0})}), Near({0.75, -0.75}));
  EXPECT_THAT(
      One("softmax_backward", {F32({2, 2}, {1, 0, 0.5, 0.5}), F32({2, 2}, {4, kNan, 4, 0})}, {{"causal", true}}),
      Near({0, 0, 1, -1}));
}

TEST(Reference, CacheUpdateDropsWhatHasNoPlace) {
  HostTensor cache = F32({2, 3, 1}, {0, 1, 2, 10, 11, 12}), x = F32({2, 2, 1}, {100, 101, 200, 201});
  EXPECT_EQ(One("cache_update", {cache, x, I32({2}, {2, 0}), I32({2}, {1, 0})}), (Data{200, 201, 2, 10, 11, 100}));
  EXPECT_EQ(One("cache_update", {cache, x, I32({2}, {0, -1}), I32({2}, {-1, 2})}), cache.data);
}

// Cached attention at each position agrees with causal attention over the whole sequence.
TEST(Reference, CachedAttentionIsCausalAttention) {
  const int64_t n = 3, heads = 2, size = 2, width = heads * size;
  Data q, k, v;
  for (int i = 0; i < n * width; ++i) {
    q.push_back(std::sin(i + 1));
    k.push_back(std::cos(2 * i));
    v.push_back(std::sin(3 * i));
  }
  auto pick = [&](const Data& x, int64_t h) {
    Data out;
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t i = 0; i < size; ++i) out.push_back(x[t * width + h * size + i]);
    }
    return F64({n, size}, out);
  };
  Data expected(n * width);
  for (int64_t h = 0; h < heads; ++h) {
    HostTensor scores = RunOp("matmul", {pick(q, h), pick(k, h)}, {{"transpose_b", true}})[0];
    scores = RunOp("mul", {scores, F64({}, {0.7})})[0];
    HostTensor weights = RunOp("softmax", {scores}, {{"causal", true}})[0];
    Data y = One("matmul", {weights, pick(v, h)});
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t i = 0; i < size; ++i) expected[t * width + h * size + i] = y[t * size + i];
    }
  }
  auto in_slot_1 = [&](const Data& x) {
    Data cache(2 * n * width, kNan);
    std::copy(x.begin(), x.end(), cache.begin() + n * width);
    return F64({2, n, width}, cache);
  };
  Attributes attributes = {{"heads", heads}, {"scale", 0.7}};
  EXPECT_THAT(One("cached_attention", {F64({1, n, width}, q), in_slot_1(k), in_slot_1(v), I32({1}, {0}), I32({1}, {1})},
                  attributes),
              Near(expected));
  HostTensor last = F64({1, 1, width}, Data(q.end() - width, q.end()));
  for (double position : {2, 9}) {  // past the context the whole cache counts
    EXPECT_THAT(
        One("cached_attention", {last, in_slot_1(k), in_slot_1(v), I32({1}, {position}), I32({1}, {1})}, attributes),
        Near(Data(expected.end() - width, expected.end())));
  }
  EXPECT_EQ(One("cached_attention", {last, in_slot_1(k), in_slot_1(v), I32({1}, {0}), I32({1}, {-1})}, attributes),
            Data(width, 0));
}

TEST(Reference, Embedding) {
  HostTensor table = F32({3, 2}, {1, 2, 3, 4, 5, 6}), ids = I32({3}, {2, -1, 2});
  EXPECT_EQ(One("embedding", {table, ids}), (Data{5, 6, 0, 0, 5, 6}));
  HostTensor dy = F32({3, 2}, {1, 2, 3, 4, 5, 6});
  Attributes rows = {{"rows", int64_t{3}}};
  EXPECT_EQ(One("embedding_backward", {ids, dy}, rows), (Data{0, 0, 0, 0, 6, 8}));
  EXPECT_EQ(One("embedding_backward", {ids, dy, table}, rows), (Data{1, 2, 3, 4, 11, 14}));
}

HostTensor Scalars(std::initializer_list<std::pair<Scalar, double>> values) {
  HostTensor scalars({kF64, {kScalarCount}});
  for (auto [which, value] : values) scalars.data[which] = value;
  return scalars;
}

TEST(Reference, DropoutDependsOnTheGlobalSequence) {
  Attributes attributes = {{"rate", 0.25}, {"key", int64_t{77}}};
  HostTensor ones = F32({4, 1000}, Data(4000, 1));
  Data whole = One("dropout", {ones, Scalars({{kSeed, 1}, {kStep, 3}, {kFirstSequence, 8}})}, attributes);
  double kept = 0;
  for (double y : whole) {
    EXPECT_TRUE(y == 0 || y == 1 / 0.75);
    kept += y != 0;
  }
  EXPECT_NEAR(kept / 4000, 0.75, 0.03);  // four standard deviations
  HostTensor half = F32({2, 1000}, Data(2000, 1));
  EXPECT_EQ(One("dropout", {half, Scalars({{kSeed, 1}, {kStep, 3}, {kFirstSequence, 10}})}, attributes),
            Data(whole.begin() + 2000, whole.end()));
  EXPECT_NE(One("dropout", {ones, Scalars({{kSeed, 1}, {kStep, 4}, {kFirstSequence, 8}})}, attributes), whole);
  EXPECT_NE(One("dropout", {ones, Scalars({{kSeed, 2}, {kStep, 3}, {kFirstSequence, 8}})}, attributes), whole);
  EXPECT_EQ(whole[5] != 0, Philox4x32(DropoutCounter(1, 8, 3), DropoutKey(1, 77))[1] >= 0x40000000u);
  EXPECT_EQ(One("dropout", {ones, Scalars({})}, {{"rate", 0.0}, {"key", int64_t{1}}}), ones.data);
}

TEST(Reference, CrossEntropy) {
  // The third column is padding.
  HostTensor logits = F32({3, 3}, {0, 0, 99, 0, std::log(3.0), 99, 7, 8, 9}), targets = I32({3}, {0, 1, -1});
  Attributes classes = {{"classes", int64_t{2}}};
  std::vector<HostTensor> loss = RunOp("cross_entropy", {logits, targets}, classes);
  EXPECT_THAT(loss[0].data, Near({std::log(2.0), std::log(4.0 / 3), 0}));
  EXPECT_THAT(loss[1].data, Near({std::log(2.0), std::log(4.0), 8 + std::log1p(std::exp(-1))}));
  HostTensor dlosses = F32({3}, {1, 2, 5});
  EXPECT_THAT(One("cross_entropy_backward", {logits, targets, loss[1], dlosses}, classes),
              Near({-0.5, 0.5, 0, 0.5, -0.5, 0, 0, 0, 0}));
}

TEST(Reference, AdamW) {
  EXPECT_EQ(One("global_norm", {F32({2}, {2, 3}), F32({1}, {6})}), (Data{7}));
  auto step = [](double norm, double clip, bool decay) {
    HostTensor scalars = Scalars({{kLearningRate, 0.1},
                                  {kBeta1, 0.5},
                                  {kBeta2, 0.75},
                                  {kEpsilon, 0},
                                  {kWeightDecay, 0.5},
                                  {kClip, clip},
                                  {kStep, 1},
                                  {kInverseTokens, 0.25},
                                  {kLossScale, 2}});
    return RunOp("adamw", {F32({1}, {10}), F32({1}, {16}), F32({1}, {1}), F32({1}, {1}), F32({}, {norm}), scalars},
                 {{"decay", decay}});
  };
  // g = 16·0.25/2 = 2, m' = 1.5, v' = 1.75; corrected 3 and 7.
  std::vector<HostTensor> plain = step(16, 0, false);
  EXPECT_THAT(plain[0].data, Near({10 - 0.1 * 3 / std::sqrt(7.0)}));
  EXPECT_THAT(plain[1].data, Near({1.5}));
  EXPECT_THAT(plain[2].data, Near({1.75}));
  EXPECT_THAT(step(16, 0, true)[0].data, Near({9.5 - 0.1 * 3 / std::sqrt(7.0)}));
  EXPECT_THAT(step(16, 100, false)[1].data, Near({1.5}));
  EXPECT_THAT(step(16, 1, false)[1].data, testing::Pointwise(testing::DoubleNear(1e-6), Data{1}));  // g clipped to 1
  for (double bad : {kInf, kNan}) {
    std::vector<HostTensor> skipped = step(bad, 1, true);
    EXPECT_EQ(skipped[0].data, Data{10});
    EXPECT_EQ(skipped[1].data, Data{1});
    EXPECT_EQ(skipped[2].data, Data{1});
  }
}

TEST(Evaluate, RunsAGraphAndReplacesStates) {
  Module module;
  GraphBuilder g(module, "f");
  Type pair{kF32, {2}};
  for (const char* name : {"a", "b"}) g.Declare({.name = name, .type = pair});
  Tensor x = g.Input("x", kF32, {2});
  Tensor a = g.State("a"), b = g.State("b");
  Tensor y = (x + a) * b;
  g.Exp(y);  // read by nobody
  g.Return("y", y);
  g.Return("x", x);
  g.StoreState("a", b);  // the two change places
  g.StoreState("b", a);
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();

  StateMap states = {{"a", F32({2}, {1, 2})}, {"b", F32({2}, {3, 4})}};
  std::vector<HostTensor> inputs = {F32({2}, {10, 20})};
  auto outputs = Evaluate(module, g.graph(), inputs, states);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].data, (Data{33, 88}));
  EXPECT_EQ((*outputs)[1].data, (Data{10, 20}));
  EXPECT_EQ(states["a"].data, (Data{3, 4}));
  EXPECT_EQ(states["b"].data, (Data{1, 2}));

  states.erase("b");
  EXPECT_EQ(Message(Evaluate(module, g.graph(), inputs, states).status()), "state 'b' has no value");
  inputs[0] = I32({2}, {1, 2});
  EXPECT_EQ(Message(Evaluate(module, g.graph(), inputs, states).status()), "input 'x' is f32[2], given is i32[2]");
  EXPECT_EQ(Message(Evaluate(module, g.graph(), {}, states).status()), "graph 'f' takes 1 inputs, not 0");
}

TEST(Evaluate, WantsBoundDimensions) {
  Module module;
  module.dimensions = {{"B"}};
  GraphBuilder g(module, "f");
  g.Return("y", g.Constant(1, kF32, {SymbolDim(0)}));
  ASSERT_TRUE(g.Finish().ok());
  StateMap states;
  EXPECT_THAT(Message(Evaluate(module, g.graph(), {}, states).status()), HasSubstr("bind them first"));
  ASSERT_TRUE(BindDimensions(module, {{"B", 3}}).ok());
  EXPECT_EQ((*Evaluate(module, g.graph(), {}, states))[0].data, (Data{1, 1, 1}));
}

TEST(Evaluate, RoundsEachResult) {
  Module module;
  GraphBuilder g(module, "f");
  Tensor x = g.Input("x", kBF16, {1});
  g.Return("y", x * 1.01);
  StateMap states;
  std::vector<HostTensor> inputs = {{{kBF16, {1}}, {1}}};
  EXPECT_EQ((*Evaluate(module, g.graph(), inputs, states))[0].data[0], 1.01);
  EXPECT_EQ((*Evaluate(module, g.graph(), inputs, states, Rounding::kRounded))[0].data[0], 1.0078125);
}

}  // namespace
}  // namespace gptc
