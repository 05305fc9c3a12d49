#include <cmath>

#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> ReductionCases() {
  std::vector<OpCase> cases;
  using Ints = std::vector<int64_t>;
  struct Where {
    Shape shape;
    Ints axes;
  };
  const std::vector<Where> places = {{{}, {}},
                                     {{1}, {0}},
                                     {{7}, {0}},
                                     {{3, 5}, {}},
                                     {{3, 5}, {0}},
                                     {{3, 5}, {1}},
                                     {{3, 5}, {0, 1}},
                                     {{2, 3, 4}, {1}},
                                     {{2, 3, 4}, {0, 2}},
                                     {{2, 3, 4}, {0, 1}},
                                     {{2, 3, 4}, {1, 2}},
                                     {{2, 1, 4}, {1}},
                                     {{3, 2, 1, 5}, {0, 2, 3}},
                                     {{7, 1031}, {1}},
                                     {{1031, 7}, {0}},
                                     {{517, 800}, {0}},
                                     {{3, 100, 130}, {1}},
                                     {{3, 90001}, {1}},
                                     {{200001}, {0}},
                                     {{2, 3, 5001}, {0, 1}},
                                     {{4, 33, 3, 40}, {0, 2}},
                                     {{90, 5, 2100}, {1}},
                                     {{1, 1000}, {1}},
                                     {{1000, 1}, {1}},
                                     {{9000, 3}, {1}}};
  // Sums in f32 overflow where the reference's do not.
  const auto without_greatest = [](std::vector<HostTensor>& inputs) {
    for (double& x : inputs[0].data) {
      if (std::isfinite(x) && std::abs(x) > 1e38) x = 1;
    }
  };
  for (const Op op : {Op::kSum, Op::kMean, Op::kReduceMax}) {
    for (const auto& [shape, axes] : places) {
      double count = 1;
      for (int64_t axis : axes) count *= static_cast<double>(shape[axis]);
      const double amplitude = op == Op::kSum ? std::sqrt(count) : op == Op::kMean ? 1 / std::sqrt(count) : 0;
      const std::string label = Cat(ShapeText(shape), " over [", Join(axes, ", "), "]");
      cases.push_back({label, op, {F32(shape)}, {{"axes", axes}}, amplitude});
      cases.push_back({label + " keep", op, {F32(shape)}, {{"axes", axes}, {"keep", true}}, amplitude});
      cases.push_back({label + " bf16", op, {BF16(shape)}, {{"axes", axes}}, amplitude});
      if (op == Op::kSum)
        cases.push_back({label + " bf16 widened", op, {BF16(shape)}, {{"axes", axes}, {"widen", true}}, amplitude});
    }
    cases.push_back({"f64", op, {F64({3, 50})}, {{"axes", Ints{1}}}, 7});
    if (op != Op::kMean) {
      cases.push_back({"i32 rows", op, {I32({3, 50})}, {{"axes", Ints{1}}}, 0});
      cases.push_back({"i32 columns", op, {I32({3, 50})}, {{"axes", Ints{0}}}, 0});
      cases.push_back({"nothing", op, {F32({3, 0})}, {{"axes", Ints{1}}}, 0, false});
      cases.push_back({"nothing, columns", op, {F32({0, 3})}, {{"axes", Ints{0}}}, 0, false});
    }
    cases.push_back({"rows of special values",
                     op,
                     {F32({300, 3}, Fill::kSpecial)},
                     {{"axes", Ints{1}}},
                     2,
                     false,
                     without_greatest});
    cases.push_back({"columns of special values",
                     op,
                     {F32({3, 300}, Fill::kSpecial)},
                     {{"axes", Ints{0}}},
                     2,
                     false,
                     without_greatest});
    cases.push_back({"ties", op, {F32({300, 33}, Fill::kTies)}, {{"axes", Ints{1}}}, 33, false});
  }
  return cases;
}

}  // namespace gptc
