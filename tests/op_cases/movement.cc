#include "tests/op_cases/op_cases.h"

namespace gptc {
namespace {
using Ints = std::vector<int64_t>;
int64_t I(int64_t value) { return value; }
}  // namespace

std::vector<OpCase> MovementCases() {
  std::vector<OpCase> cases;
  const auto add = [&](Op op, const std::string& label, std::vector<CaseInput> inputs, Attributes attributes) {
    cases.push_back({label, op, std::move(inputs), std::move(attributes), 0});
  };
  add(Op::kReshape, "to one axis", {F32({3, 5})}, {{"shape", Shape{15}}});
  add(Op::kReshape, "to a scalar", {F32({1, 1})}, {{"shape", Shape{}}});

  const auto broadcast = [&](CaseInput x, Shape shape) {
    const std::string label = Cat(TypeText(x.type), " to ", ShapeText(shape));
    add(Op::kBroadcast, label, {std::move(x)}, {{"shape", std::move(shape)}});
  };
  broadcast(F32({}), {7});
  broadcast(F32({}), {3, 9001});
  broadcast(F32({5}), {3, 5});
  broadcast(F32({3, 1}), {3, 5});
  broadcast(F32({3, 1, 2}), {4, 3, 5, 2});
  broadcast(F32({1, 700}), {33, 700});
  broadcast(F32({2, 3}), {2, 3});
  broadcast(BF16({3, 1}), {3, 500});
  broadcast(I32({3}), {4, 3});
  broadcast(F64({1, 3}), {2, 3});

  const auto transpose = [&](CaseInput x, Ints permutation) {
    const std::string label = Cat(TypeText(x.type), " by [", Join(permutation, ", "), "]");
    add(Op::kTranspose, label, {std::move(x)}, {{"permutation", std::move(permutation)}});
  };
  transpose(F32({}), {});
  transpose(F32({3, 5}), {0, 1});
  transpose(F32({3, 5}), {1, 0});
  transpose(F32({1, 5}), {1, 0});
  transpose(F32({257, 1031}), {1, 0});
  transpose(F32({64, 96}), {1, 0});
  transpose(F32({2, 7, 3, 4}), {0, 2, 1, 3});
  transpose(F32({2, 65, 4, 64}), {0, 2, 1, 3});
  transpose(F32({2, 3, 4, 5}), {3, 2, 1, 0});
  transpose(F32({2, 3, 4, 5}), {0, 1, 3, 2});
  transpose(F32({2, 3, 33, 45}), {0, 3, 1, 2});
  transpose(F32({2, 3, 4}), {2, 0, 1});
  transpose(F32({2, 3, 4}), {1, 0, 2});
  transpose(F32({40, 3, 1, 50}), {3, 2, 1, 0});
  transpose(F32({0, 3}), {1, 0});
  transpose(BF16({65, 70}), {1, 0});
  transpose(BF16({2, 5, 3, 8}), {0, 2, 1, 3});
  transpose(Bool({65, 70}), {1, 0});
  transpose(F64({33, 70}), {1, 0});
  transpose(I32({3, 4, 5}), {2, 1, 0});

  const auto slice = [&](CaseInput x, int64_t axis, int64_t start, int64_t size) {
    const std::string label = Cat(TypeText(x.type), " axis ", axis, " from ", start, " size ", size);
    add(Op::kSlice, label, {std::move(x)}, {{"axis", axis}, {"start", start}, {"size", Shape{size}}});
  };
  slice(F32({7}), 0, 2, 3);
  slice(F32({7}), 0, 6, 1);
  slice(F32({2, 5, 3}), 0, 1, 1);
  slice(F32({2, 5, 3}), 1, 1, 3);
  slice(F32({2, 5, 3}), 2, 0, 3);
  slice(F32({33, 3000}), 1, 7, 2500);
  slice(F32({3, 40000}), 1, 1, 39999);
  slice(F32({2, 5}), 1, 3, 0);
  slice(BF16({33, 301}), 1, 7, 250);
  slice(I32({4, 9}), 0, 1, 2);

  const auto pad = [&](CaseInput x, int64_t axis, int64_t low, int64_t high) {
    const std::string label = Cat(TypeText(x.type), " axis ", axis, " by ", low, " and ", high);
    add(Op::kPad, label, {std::move(x)}, {{"axis", axis}, {"low", low}, {"high", high}});
  };
  pad(F32({7}), 0, 2, 3);
  pad(F32({2, 5, 3}), 1, 1, 0);
  pad(F32({2, 5, 3}), 2, 0, 2);
  pad(F32({2, 5, 3}), 0, 1, 1);
  pad(F32({2, 5}), 1, 0, 0);
  pad(F32({33, 3000}), 1, 7, 2500);
  pad(F32({500, 70}), 0, 0, 12);
  pad(BF16({33, 301}), 1, 1, 2);
  pad(I32({4, 9}), 1, 2, 2);

  const auto split = [&](CaseInput x, int64_t axis, int64_t parts) {
    const std::string label = Cat(TypeText(x.type), " axis ", axis, " in ", parts);
    add(Op::kSplit, label, {std::move(x)}, {{"axis", axis}, {"parts", parts}});
  };
  split(F32({6}), 0, 3);
  split(F32({2, 6}), 1, 1);
  split(F32({2, 6, 3}), 1, 2);
  split(F32({4, 3}), 0, 4);
  split(F32({33, 2304}), 1, 3);
  split(F32({2, 17, 2304}), 2, 3);
  split(BF16({17, 96}), 1, 3);
  split(I32({4, 9}), 1, 3);

  add(Op::kConcat, "one part", {F32({2, 3})}, {{"axis", I(0)}});
  add(Op::kConcat, "vectors", {F32({2}), F32({1}), F32({4})}, {{"axis", I(0)}});
  add(Op::kConcat, "columns", {F32({3, 2}), F32({3, 5})}, {{"axis", I(1)}});
  add(Op::kConcat, "in the middle", {F32({2, 1, 3}), F32({2, 4, 3}), F32({2, 2, 3})}, {{"axis", I(1)}});
  add(Op::kConcat, "an empty part", {F32({3, 2}), F32({3, 0})}, {{"axis", I(1)}});
  add(Op::kConcat, "large", {F32({33, 768}), F32({33, 768}), F32({33, 768})}, {{"axis", I(1)}});
  add(Op::kConcat, "bf16", {BF16({17, 31}), BF16({17, 33})}, {{"axis", I(1)}});
  add(Op::kConcat, "i32", {I32({4, 9}), I32({4, 9})}, {{"axis", I(0)}});
  return cases;
}

}  // namespace gptc
