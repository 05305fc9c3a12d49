#include <limits>

#include "ir/base/scalars.h"
#include "tests/op_cases/op_cases.h"

namespace gptc {

std::vector<OpCase> OptimizerCases() {
  std::vector<OpCase> cases;
  cases.push_back({"one element", Op::kGlobalNorm, {F32({})}, {}, 0});
  cases.push_back({"some shapes", Op::kGlobalNorm, {F32({3, 5}), F32({7}), F32({1031, 33})}, {}, 0});
  cases.push_back({"many chunks", Op::kGlobalNorm, {F32({300, 1031}), F32({2}), F32({70000})}, {}, 0});
  cases.push_back({"bf16", Op::kGlobalNorm, {BF16({300, 31}), BF16({2}), F32({5})}, {}, 0});
  cases.push_back({"squares past f32's range", Op::kGlobalNorm, {F32({33}, Fill::kLarge)}, {}, 0});
  cases.push_back({"an empty gradient", Op::kGlobalNorm, {F32({0, 3}), F32({2})}, {}, 0});
  cases.push_back({"infinities and NaN", Op::kGlobalNorm, {F32({100}, Fill::kSpecial)}, {}, 0});

  const auto adamw = [&](const std::string& label, const Shape& shape, bool decay,
                         std::function<void(std::vector<HostTensor>&)> prepare = nullptr) {
    cases.push_back(
        {label,
         Op::kAdamW,
         {F32(shape), F32(shape), F32(shape), F32(shape, Fill::kPositive), F32({}, Fill::kPositive), ScalarsInput()},
         {{"decay", decay}},
         1e-3,
         false,
         std::move(prepare)});
  };
  for (const bool decay : {false, true}) {
    const std::string suffix = decay ? ", decay" : "";
    adamw(Cat("one element", suffix), {}, decay);
    adamw(Cat("odd", suffix), {7, 33}, decay);
    adamw(Cat("large", suffix), {70, 1031}, decay);
    adamw(Cat("first step from zero moments", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) {
      for (size_t i : {2, 3}) std::fill(inputs[i].data.begin(), inputs[i].data.end(), 0);
      inputs[5].data[kStep] = 1;
    });
    adamw(Cat("clipped", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) { inputs[4].data[0] = 5000; });
    adamw(Cat("no clipping", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) {
      inputs[4].data[0] = 5000;
      inputs[5].data[kClip] = 0;
    });
    adamw(Cat("loss scale", suffix), {3, 50}, decay, [](std::vector<HostTensor>& inputs) {
      for (double& g : inputs[1].data) g *= 1024;
      inputs[5].data[kLossScale] = 1024;
    });
    for (const double norm : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
      adamw(Cat("skipped, the norm is ", ShortestDouble(norm), suffix), {3, 3001}, decay,
            [norm](std::vector<HostTensor>& inputs) { inputs[4].data[0] = norm; });
    }
  }

  // Parameters of these shapes; a copy and decay for every other one.
  const auto group = [&](const std::string& label, const std::vector<Shape>& shapes,
                         std::function<void(std::vector<HostTensor>&)> prepare = nullptr) {
    std::vector<CaseInput> inputs = {F32({}, Fill::kPositive), ScalarsInput()};
    std::string decay, copies;
    for (size_t k = 0; k < shapes.size(); ++k) {
      inputs.insert(inputs.end(), {F32(shapes[k]), F32(shapes[k]), F32(shapes[k], Fill::kPositive)});
      decay.push_back(k % 2 == 0 ? '0' : '1');
      copies.push_back(k % 2 == 0 ? '1' : '0');
    }
    for (const Shape& shape : shapes) inputs.push_back(F32(shape));
    cases.push_back({label,
                     Op::kAdamWGroup,
                     std::move(inputs),
                     {{"decay", decay}, {"copies", copies}},
                     1e-3,
                     false,
                     std::move(prepare)});
  };
  group("one parameter", {{3, 50}});
  group("tails of one to three elements, an empty parameter", {{1}, {2, 1}, {0, 7}, {5, 7}, {4}, {}});
  group("equal shapes", {{64}, {64}, {64}});
  group("small ones after large ones", {{70, 131}, {33}, {12, 1031}, {7}, {3, 3}});
  group("clipped", {{3, 50}, {7}}, [](std::vector<HostTensor>& inputs) { inputs[0].data[0] = 5000; });
  group("skipped", {{3, 3001}, {7}, {2, 2}},
        [](std::vector<HostTensor>& inputs) { inputs[0].data[0] = std::numeric_limits<double>::quiet_NaN(); });
  group("more than a launch takes", std::vector<Shape>(386, Shape{3}));
  return cases;
}

}  // namespace gptc
