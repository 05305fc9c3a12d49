#include <utility>

#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> ElementwiseCases() {
  std::vector<OpCase> cases;
  const std::vector<std::pair<Shape, Shape>> pairs = {{{}, {}},
                                                      {{1}, {1}},
                                                      {{3, 5}, {3, 5}},
                                                      {{7, 1031}, {7, 1031}},
                                                      {{4, 5, 7}, {}},
                                                      {{}, {6, 3}},
                                                      {{9000}, {1}},
                                                      {{2, 3, 5}, {5}},
                                                      {{2, 3, 5}, {3, 5}},
                                                      {{7}, {4, 7}},
                                                      {{5, 9}, {5, 1}},
                                                      {{5, 1}, {5, 9}},
                                                      {{4, 1}, {1, 6}},
                                                      {{2, 1, 3}, {2, 5, 1}},
                                                      {{40, 1, 300}, {40, 3, 300}},
                                                      {{3, 20000}, {20000}},
                                                      {{2, 1, 3, 1, 2}, {4, 3, 5, 1}},
                                                      {{0, 3}, {3}}};
  for (const Op op : {Op::kAdd, Op::kSub, Op::kMul, Op::kDiv, Op::kMax}) {
    const Fill second = op == Op::kDiv ? Fill::kAway : Fill::kNormal;
    for (const auto& [a, b] : pairs) {
      const std::string label = Cat(ShapeText(a), " and ", ShapeText(b));
      cases.push_back({label, op, {F32(a), F32(b, second)}});
      cases.push_back({label + " bf16", op, {BF16(a), BF16(b, second)}});
    }
    cases.push_back({"f64", op, {F64({4, 3}), F64({3}, second)}});
    if (op != Op::kDiv) cases.push_back({"i32", op, {I32({4, 33}), I32({33})}, {}, 0});
    cases.push_back(
        {"special values", op, {F32({40, 50}, Fill::kSpecial), F32({40, 50}, Fill::kSpecial)}, {}, 0, false});
    cases.push_back(
        {"special values bf16", op, {BF16({40, 50}, Fill::kSpecial), BF16({50}, Fill::kSpecial)}, {}, 0, false});
  }
  cases.push_back({"ties", Op::kMax, {F32({9, 11}, Fill::kTies), F32({9, 11}, Fill::kTies)}, {}, 0, false});

  for (const Op op : {Op::kNeg, Op::kExp, Op::kLog, Op::kTanh, Op::kErf, Op::kSqrt, Op::kRsqrt}) {
    const bool positive = op == Op::kLog || op == Op::kSqrt || op == Op::kRsqrt;
    const Fill fill = positive ? Fill::kPositive : Fill::kNormal;
    for (const Shape& shape : {Shape{}, Shape{7, 3}, Shape{1, 1000}, Shape{3, 4099}}) {
      cases.push_back({ShapeText(shape), op, {F32(shape, fill)}});
      cases.push_back({ShapeText(shape) + " bf16", op, {BF16(shape, fill)}});
    }
    cases.push_back({"f64", op, {F64({5, 3}, fill)}});
    cases.push_back({"wide", op, {F32({9000}, Fill::kWide)}, {}, 1, false});
    cases.push_back({"small", op, {F32({900}, Fill::kSmall)}, {}, op == Op::kLog ? 10.0 : 0.0, false});
    cases.push_back({"large", op, {F32({900}, Fill::kLarge)}, {}, 0, false});
    cases.push_back({"special values", op, {F32({30, 41}, Fill::kSpecial)}, {}, 1, false});
    cases.push_back({"special values bf16", op, {BF16({30, 41}, Fill::kSpecial)}, {}, 1, false});
  }
  cases.push_back({"i32", Op::kNeg, {I32({300})}, {}, 0});
  return cases;
}

}  // namespace gptc
