// Every CPU kernel at the shapes of a real training step: GPT-2 124M on 4 sequences of 256 tokens, and the character
// baby. Counters: operations and bytes a second. The `fused` rows stand beside the same loops written by hand. Usage:
// kernels_bench --benchmark_filter=layer_norm
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/hand_loops.h"
#include "benchmark/benchmark.h"
#include "ir/base/check.h"
#include "ir/base/infer.h"
#include "ir/base/scalars.h"
#include "runtime/cpu/kernels.h"

namespace gptc {
namespace {

struct Case {
  std::string label;
  Op op;
  std::vector<Type> inputs;
  Attributes attributes;
  double flops = 0;   // of one run; 0: bytes alone are counted
  int64_t ids = 1;    // integer operands are drawn below this
  int in_place = -1;  // the result that is written over the first operand
  // The same by hand, in place of the kernel.
  std::function<void(const std::vector<TensorView>& inputs, const std::vector<TensorView>& results)> hand = nullptr;
};

Type F32(Shape shape) { return {DType::kF32, std::move(shape)}; }
Type BF16(Shape shape) { return {DType::kBF16, std::move(shape)}; }
Type I32(Shape shape) { return {DType::kI32, std::move(shape)}; }

struct Free {
  void operator()(void* data) const { std::free(data); }
};
using Memory = std::unique_ptr<void, Free>;

TensorView Allocate(const Type& type, std::vector<Memory>& owner) {
  size_t bytes = (static_cast<size_t>(ByteCount(type)) + 63) / 64 * 64;
  owner.emplace_back(std::aligned_alloc(64, std::max<size_t>(bytes, 64)));
  return {type, owner.back().get()};
}

void Fill(const TensorView& view, int64_t ids, std::mt19937& random) {
  if (view.type.dtype == DType::kF32) {
    std::normal_distribution<float> normal;
    std::generate_n(view.as<float>(), view.count(), [&] { return normal(random); });
  } else if (view.type.dtype == DType::kBF16) {
    std::normal_distribution<float> normal;
    std::generate_n(view.as<uint16_t>(), view.count(), [&] { return Bf16FromFloat(normal(random)); });
  } else if (view.type.dtype == DType::kI32) {
    std::generate_n(view.as<int32_t>(), view.count(),
                    [&] { return static_cast<int32_t>(random() % static_cast<uint64_t>(ids)); });
  } else if (view.type.dtype == DType::kF64) {
    static constexpr double kScalars[kScalarCount] = {6e-4, 0.9, 0.95, 1e-8, 0.1, 1, 10, 1e-3, 1, 1337, 0};
    std::copy_n(kScalars, std::min<int64_t>(view.count(), kScalarCount), view.as<double>());
  }
}

void Run(benchmark::State& state, const Case& c) {
  const OpInfo& info = InfoOf(c.op);
  Attributes attributes = c.attributes;
  CHECK_OK(CompleteAttributes(info, attributes));
  std::vector<std::string> names(c.inputs.size(), "operand");
  InferResult types = InferTypes({info, c.inputs, attributes, {}, names});
  CHECK_OK(types.status());
  std::vector<Memory> owner;
  std::vector<TensorView> inputs, results;
  std::mt19937 random(1);
  int64_t bytes = 0;
  for (const Type& type : c.inputs) {
    inputs.push_back(Allocate(type, owner));
    Fill(inputs.back(), c.ids, random);
    bytes += ByteCount(type);
  }
  for (const Type& type : *types) {
    const bool in_place = c.in_place == static_cast<int>(results.size());
    results.push_back(in_place ? inputs[0] : Allocate(type, owner));
    bytes += ByteCount(type);
  }
  ScratchPool scratch;
  StatusOr<BoundKernel> kernel = CpuKernel(info.name)({inputs, results, attributes, scratch});
  CHECK_OK(kernel.status());
  TensorView scratch_memory = Allocate({DType::kBool, {static_cast<int64_t>(scratch.bytes())}}, owner);
  scratch.set_data(scratch_memory.data);
  for (auto _ : state) {
    if (c.hand) {
      c.hand(inputs, results);
    } else {
      (*kernel)();
    }
  }
  auto rate = [](double amount) { return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate); };
  state.counters["bytes"] = rate(static_cast<double>(bytes));
  if (c.flops > 0) state.counters["flops"] = rate(c.flops);
}

// y = x·w, and the two products of its backward.
void AddLinear(std::vector<Case>& cases, const std::string& name, int64_t rows, int64_t in, int64_t out) {
  double flops = 2.0 * static_cast<double>(rows * in * out);
  cases.push_back({name + " forward", Op::kLinear, {F32({rows, in}), F32({in, out}), F32({out})}, {}, flops});
  cases.push_back({name + " dx", Op::kMatMul, {F32({rows, out}), F32({in, out})}, {{"transpose_b", true}}, flops});
  cases.push_back({name + " dw", Op::kMatMul, {F32({rows, in}), F32({rows, out})}, {{"transpose_a", true}}, flops});
}

void AddLoss(std::vector<Case>& cases, const std::string& model, const Type& logits) {
  const int64_t rows = logits.shape[0], vocab = logits.shape[1];
  const Attributes classes = {{"classes", vocab}};
  cases.push_back({model + " cross_entropy", Op::kCrossEntropy, {logits, I32({rows})}, classes, 0, vocab});
  cases.push_back({model + " cross_entropy_backward",
                   Op::kCrossEntropyBackward,
                   {logits, I32({rows}), F32({rows}), F32({rows})},
                   classes,
                   0,
                   vocab,
                   0});
  cases.push_back({model + " cross_entropy_gradient",
                   Op::kCrossEntropyGradient,
                   {logits, I32({rows}), F32({rows})},
                   classes,
                   0,
                   vocab,
                   1});
}

// Causal attention: two products of the half that the mask leaves, in the backward five.
void AddFlash(std::vector<Case>& cases, const std::string& model, const Type& qkv, int64_t heads) {
  const int64_t batch = qkv.shape[0], tokens = qkv.shape[1], width = qkv.shape[2] / 3;
  const Type y{qkv.dtype, {batch, tokens, width}};
  const Attributes attributes = {{"heads", heads}, {"scale", 0.125}, {"causal", true}};
  const double product = static_cast<double>(batch * tokens * tokens * width);
  cases.push_back({model + " flash_attention", Op::kFlashAttention, {qkv}, attributes, 2 * product});
  cases.push_back({model + " flash_attention_backward",
                   Op::kFlashAttentionBackward,
                   {y, qkv, y, F32({batch, heads, tokens})},
                   attributes,
                   5 * product});
}

void AddFused(std::vector<Case>& cases, const std::string& model, int64_t rows, int64_t width) {
  const auto add = [&](const std::string& name, std::vector<Type> inputs, std::string region, auto hand) {
    const Attributes attributes = {{"region", std::move(region)}};
    cases.push_back({model + " fused " + name, Op::kFused, inputs, attributes});
    cases.push_back({model + " fused " + name + " by hand", Op::kFused, inputs, attributes, 0, 1, -1,
                     [=](const std::vector<TensorView>& in, const std::vector<TensorView>& out) { hand(in, out); }});
  };
  using Views = std::vector<TensorView>;
  add("a*x+b", {F32({rows, width}), F32({rows, width})},
      "t0 = constant {value = 0.75}; t1 = mul a0, t0; t2 = add t1, a1; return t2",
      [=](const Views& in, const Views& out) {
        HandScaleAdd(in[0].as<float>(), in[1].as<float>(), out[0].as<float>(), rows, width);
      });
  add("gelu(x+bias)", {F32({rows, width}), F32({width})}, "t0 = add a0, a1; t1 = gelu t0; return t1",
      [=](const Views& in, const Views& out) {
        HandBiasGelu(in[0].as<float>(), in[1].as<float>(), out[0].as<float>(), rows, width);
      });
  add("residual+cast", {F32({rows, width}), F32({rows, width})},
      "t0 = add a0, a1; t1 = cast t0 {to = bf16}; return t0, t1", [=](const Views& in, const Views& out) {
        HandResidualCast(in[0].as<float>(), in[1].as<float>(), out[0].as<float>(), out[1].as<Bf16>(), rows, width);
      });
  add("softmax", {F32({rows, width})},
      "t0 = reduce_max a0 {axes = [1], keep = true}; t1 = sub a0, t0; t2 = exp t1; t3 = sum t2 {axes = [1], keep = "
      "true}; "
      "t4 = div t2, t3; return t4",
      [=](const Views& in, const Views& out) { HandSoftmax(in[0].as<float>(), out[0].as<float>(), rows, width); });
}

void AddModel(std::vector<Case>& cases, const std::string& model, int64_t batch, int64_t tokens, int64_t heads,
              int64_t width, int64_t vocab) {
  int64_t rows = batch * tokens, size = width / heads;
  AddLinear(cases, model + " qkv", rows, width, 3 * width);
  AddLinear(cases, model + " projection", rows, width, width);
  AddLinear(cases, model + " up", rows, width, 4 * width);
  AddLinear(cases, model + " down", rows, 4 * width, width);
  double flops = 2.0 * static_cast<double>(rows * width * vocab);
  cases.push_back(
      {model + " logits", Op::kMatMul, {F32({rows, width}), F32({vocab, width})}, {{"transpose_b", true}}, flops});
  cases.push_back({model + " scores",
                   Op::kMatMul,
                   {F32({batch, heads, tokens, size}), F32({batch, heads, tokens, size})},
                   {{"transpose_b", true}},
                   2.0 * static_cast<double>(rows * tokens * width)});
  cases.push_back({model + " softmax", Op::kSoftmax, {F32({batch, heads, tokens, tokens})}, {{"causal", true}}});
  cases.push_back(
      {model + " layer_norm", Op::kLayerNorm, {F32({rows, width}), F32({width}), F32({width})}, {{"epsilon", 1e-5}}});
  cases.push_back({model + " layer_norm_backward",
                   Op::kLayerNormBackward,
                   {F32({rows, width}), F32({rows, width}), F32({width}), F32({rows}), F32({rows})},
                   {}});
  cases.push_back({model + " gelu", Op::kGelu, {F32({rows, 4 * width})}, {}});
  cases.push_back({model + " gelu_backward", Op::kGeluBackward, {F32({rows, 4 * width}), F32({rows, 4 * width})}, {}});
  cases.push_back({model + " add", Op::kAdd, {F32({rows, width}), F32({rows, width})}, {}});
  cases.push_back({model + " bias gradient", Op::kSum, {F32({rows, 4 * width})}, {{"axes", std::vector<int64_t>{0}}}});
  AddLoss(cases, model, F32({rows, vocab}));
  AddLoss(cases, model + " bf16", BF16({rows, vocab}));
  AddFlash(cases, model, F32({batch, tokens, 3 * width}), heads);
  AddFlash(cases, model + " bf16", BF16({batch, tokens, 3 * width}), heads);
  cases.push_back({model + " embedding", Op::kEmbedding, {F32({vocab, width}), I32({rows})}, {}, 0, vocab});
  cases.push_back({model + " embedding_backward",
                   Op::kEmbeddingBackward,
                   {I32({rows}), F32({rows, width})},
                   {{"rows", vocab}},
                   0,
                   vocab});
  AddFused(cases, model, rows, width);
  AddFused(cases, model + " wide", rows, 4 * width);
  Type weights = F32({4 * width, width});
  cases.push_back({model + " adamw",
                   Op::kAdamW,
                   {weights, weights, weights, weights, F32({}), {DType::kF64, {kScalarCount}}},
                   {{"decay", true}}});
}

}  // namespace
}  // namespace gptc

int main(int argc, char** argv) {
  std::vector<gptc::Case> cases;
  gptc::AddModel(cases, "124M", 4, 256, 12, 768, 50257);
  gptc::AddFlash(cases, "124M long", gptc::F32({1, 1024, 3 * 768}), 12);
  gptc::AddFlash(cases, "124M long bf16", gptc::BF16({1, 1024, 3 * 768}), 12);
  gptc::AddModel(cases, "baby", 12, 64, 4, 128, 65);
  for (const gptc::Case& c : cases) {
    benchmark::RegisterBenchmark(c.label.c_str(), [&c](benchmark::State& state) { gptc::Run(state, c); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
