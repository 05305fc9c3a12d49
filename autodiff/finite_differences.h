// For tests: gradients against central finite differences of the reference evaluator in double precision.
#ifndef GPTC_AUTODIFF_FINITE_DIFFERENCES_H_
#define GPTC_AUTODIFF_FINITE_DIFFERENCES_H_

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "autodiff/autodiff.h"
#include "ir/reference.h"
#include "ir/verifier.h"

namespace gptc {

// Elements between -1 and 1, but not near 0, where some ops have kinks.
inline HostTensor RandomTensor(Type type, std::mt19937& random) {
  HostTensor tensor(std::move(type));
  std::uniform_real_distribution<double> magnitude(0.1, 1);
  for (double& x : tensor.data) x = (random() % 2 == 0 ? 1 : -1) * magnitude(random);
  return tensor;
}

// `build` writes a function of the arguments into a graph, as inputs of it in order, and returns its result, f64 of any
// shape. Expects the gradient of a random weighted sum of the result by every floating-point argument to be that of
// finite differences.
inline void ExpectGradients(const std::function<Tensor(GraphBuilder&, const std::vector<Tensor>&)>& build,
                            std::vector<HostTensor> arguments) {
  Module module;
  module.name = "test";
  GraphBuilder g(module, "f");
  std::vector<Tensor> inputs, wrt;
  std::vector<size_t> differentiated;
  for (size_t i = 0; i < arguments.size(); ++i) {
    inputs.push_back(g.Input(Cat("x", i), arguments[i].type.dtype, arguments[i].type.shape));
    if (!IsFloat(arguments[i].type.dtype)) continue;
    wrt.push_back(inputs.back());
    differentiated.push_back(i);
  }
  const Tensor result = build(g, inputs);
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();
  std::mt19937 random(7);
  arguments.push_back(RandomTensor(result.type(), random));
  const Tensor loss = g.SumAll(result * g.Input("weights", result.type().dtype, result.shape()));
  g.Return("loss", loss);
  const auto gradients = AppendBackward(g, loss, wrt);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  for (size_t i = 0; i < wrt.size(); ++i) {
    ASSERT_TRUE((*gradients)[i].valid()) << "the loss does not depend on argument " << differentiated[i];
    g.Return(Cat("d", differentiated[i]), (*gradients)[i]);
  }
  ASSERT_TRUE(g.Finish().ok()) << g.Finish();
  ASSERT_TRUE(Verify(module).ok()) << Verify(module);

  StateMap states;
  const auto evaluate = [&] {
    auto outputs = Evaluate(module, g.graph(), arguments, states);
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs.ok() ? *std::move(outputs) : std::vector<HostTensor>(1 + wrt.size(), HostTensor(Type{}));
  };
  const std::vector<HostTensor> outputs = evaluate();
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < wrt.size(); ++i) {
    const size_t argument = differentiated[i];
    ASSERT_EQ(outputs[1 + i].type, arguments[argument].type);
    for (size_t e = 0; e < arguments[argument].data.size(); ++e) {
      double& x = arguments[argument].data[e];
      const double at = x;
      x = at + kStep;
      const double above = evaluate()[0].data[0];
      x = at - kStep;
      const double below = evaluate()[0].data[0];
      x = at;
      const double expected = (above - below) / (2 * kStep);
      ASSERT_NEAR(outputs[1 + i].data[e], expected, 1e-7 * (1 + std::abs(expected)))
          << "argument " << argument << ", element " << e;
    }
  }
}

// The same, with random arguments of these shapes.
inline void ExpectGradients(const std::function<Tensor(GraphBuilder&, const std::vector<Tensor>&)>& build,
                            const std::vector<Shape>& shapes) {
  std::mt19937 random(1);
  std::vector<HostTensor> arguments;
  for (const Shape& shape : shapes) arguments.push_back(RandomTensor({DType::kF64, shape}, random));
  ExpectGradients(build, std::move(arguments));
}

}  // namespace gptc

#endif  // GPTC_AUTODIFF_FINITE_DIFFERENCES_H_
