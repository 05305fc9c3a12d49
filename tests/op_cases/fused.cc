#include <cmath>

#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> FusedCases() {
  std::vector<OpCase> cases;
  const auto add = [&](std::string label, std::vector<CaseInput> inputs, std::string region, double amplitude = 1) {
    cases.push_back({std::move(label), Op::kFused, std::move(inputs), {{"region", std::move(region)}}, amplitude});
  };
  for (const Shape& shape : {Shape{5}, Shape{4, 33}, Shape{3, 1}, Shape{2, 3, 7}, Shape{3, 2500}, Shape{70, 300}}) {
    const std::string label = ShapeText(shape);
    const Shape row = {shape.back()};
    Shape column = shape;
    column.back() = 1;
    add(label + " a·x + b", {F32(shape), F32(shape)},
        "t0 = constant {value = 0.75}; t1 = mul a0, t0; t2 = add t1, a1; return t2");
    add(label + " gelu(x + bias) and the sum", {F32(shape), F32(row)}, "t0 = add a0, a1; t1 = gelu t0; return t1, t0");
    add(label + " residual and cast", {F32(shape), BF16(shape)},
        "t0 = cast a1 {to = f32}; t1 = add a0, t0; t2 = cast t1 {to = bf16}; return t1, t2");
    add(label + " bf16", {BF16(shape), BF16(row)}, "t0 = mul a0, a1; t1 = silu t0; t2 = max t1, a0; return t2");
    add(label + " a column", {F32(shape), F32(column)}, "t0 = sub a0, a1; t1 = mul t0, t0; return t1");
    add(label + " a column's ops", {F32(shape), F32(column, Fill::kPositive)},
        "t0 = rsqrt a1; t1 = constant {value = 0.5}; t2 = add t0, t1; t3 = mul a0, t2; return t3, t2");
    add(label + " a scalar", {F32(shape), F32({})}, "t0 = mul a0, a1; t1 = tanh t0; return t1");
    add(label + " bf16 scalar", {BF16(shape), BF16({})}, "t0 = mul a0, a1; t1 = cast t0 {to = f32}; return t1, t0");
    add(label + " select", {F32(shape), F32(shape), Bool(shape)},
        "t0 = compare a0, a1 {direction = lt}; t1 = constant {value = 2}; t2 = select t0, a0, t1; t3 = select a2, t2, "
        "a1; return t3, t0");
    add(label + " bool", {F32(shape), Bool(shape)},
        "t0 = cast a1 {to = f32}; t1 = mul t0, a0; t2 = cast t1 {to = bool}; return t2");
    add(label + " gelu_backward with the bias gradient", {F32(shape), F32(shape)},
        shape.size() < 2    ? "t0 = gelu_backward a0, a1; t1 = neg t0; return t0, t1"
        : shape.size() == 2 ? "t0 = gelu_backward a0, a1; t1 = sum t0 {axes = [0]}; return t0, t1"
                            : "t0 = gelu_backward a0, a1; t1 = sum t0 {axes = [0, 1]}; return t0, t1",
        10);
    const std::string last = Cat("{axes = [", shape.size() - 1, "], keep = true}");
    const double amplitude = 3 * std::sqrt(static_cast<double>(shape.back()));
    add(label + " softmax", {F32(shape)},
        Cat("t0 = reduce_max a0 ", last, "; t1 = sub a0, t0; t2 = exp t1; t3 = sum t2 ", last,
            "; t4 = div t2, t3; return t4, t3"),
        amplitude);
    add(label + " variance", {BF16(shape), F32(row)},
        Cat("t0 = cast a0 {to = f32}; t1 = add a1, t0; t2 = mean t1 ", last,
            "; t3 = sub t1, t2; t4 = mul t3, t3; t5 = mean t4 ", last, "; return t2, t5"),
        amplitude);
    add(label + " a reduction alone, spread again", {F32(shape)},
        Cat("t0 = sum a0 ", last, "; t1 = broadcast t0 {shape = ", ShapeText(shape), "}; return t1"), amplitude);
  }
  for (const char* direction : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    cases.push_back({Cat("compare ", direction),
                     Op::kFused,
                     {F32({40, 50}, Fill::kSpecial), F32({40, 50}, Fill::kTies)},
                     {{"region", Cat("t0 = compare a0, a1 {direction = ", direction, "}; return t0")}}});
  }
  add("outer broadcasts", {F32({4, 3, 8}), F32({4, 1, 8}), F32({3, 1}), F32({4, 1, 1})},
      "t0 = add a0, a1; t1 = mul t0, a2; t2 = add t1, a3; return t2");
  add("an operand that broadcasts to the space", {F32({4, 1}), F32({1, 600})},
      "t0 = add a0, a1; t1 = tanh t0; return t1");
  add("two operands of one type, results crosswise", {F32({9, 300}), F32({9, 300})},
      "t0 = sub a0, a1; t1 = add a0, a1; t2 = mul t0, a1; return t1, t2, t0");
  add("an operand returned through a copy", {F32({7, 9}), F32({7, 9})}, "t0 = copy a0; t1 = add t0, a1; return t0, t1");
  add("one value returned twice", {F32({7, 9}), F32({9})},
      "t0 = add a0, a1; t1 = sum t0 {axes = [0]}; return t0, t0, t1, t1");
  add("totals of many rows", {F32({3000, 17}), F32({17})},
      "t0 = mul a0, a1; t1 = sum t0 {axes = [0]}; t2 = mul t0, a0; t3 = sum t2 {axes = [0]}; return t1, t3", 600);
  add("totals and columns", {BF16({90, 700})},
      "t0 = cast a0 {to = f32}; t1 = sum t0 {axes = [0]}; t2 = mean t0 {axes = [1], keep = true}; return t1, t2", 60);
  add("wide bf16 totals", {BF16({300, 520}), BF16({300, 520})},
      "t0 = gelu_backward a0, a1; t1 = sum t0 {axes = [0]}; t2 = cast t0 {to = f32}; t3 = sum t2 {axes = [0]}; "
      "return t0, t1, t3",
      60);
  add("outer broadcasts, columns and totals", {F32({4, 3, 8}), F32({4, 1, 8}), F32({3, 1})},
      "t0 = add a0, a1; t1 = mul t0, a2; t2 = mean t1 {axes = [2], keep = true}; t3 = sub t1, t2; t4 = sum t3 {axes = "
      "[0, 1]}; return t3, t2, t4",
      10);
  add("long rows of four operands", {F32({2, 9001}), F32({9001}), F32({2, 9001}), F32({2, 9001})},
      "t0 = mul a0, a1; t1 = add t0, a2; t2 = reduce_max t1 {axes = [1], keep = true}; t3 = sub t1, t2; t4 = max t3, "
      "a3; "
      "t5 = mean t4 {axes = [1], keep = true}; t6 = sub t4, t5; return t6, t5",
      10);
  add("no rows", {F32({0, 5}), F32({5})}, "t0 = add a0, a1; t1 = sum t0 {axes = [0]}; return t0, t1");
  add("no columns", {F32({3, 0})}, "t0 = neg a0; t1 = reduce_max t0 {axes = [1], keep = true}; return t0, t1");
  add("every function", {F32({6, 50}, Fill::kPositive)},
      "t0 = exp a0; t1 = log t0; t2 = tanh t1; t3 = erf t2; t4 = sqrt a0; t5 = rsqrt t4; t6 = relu t3; t7 = sigmoid "
      "t6; "
      "t8 = silu t7; t9 = gelu t8 {tanh = false}; t10 = gelu_backward t9, t5 {tanh = false}; t11 = div t10, a0; t12 = "
      "neg t11; t13 = max t12, t9; return t13, t5, t10");
  return cases;
}

}  // namespace gptc
