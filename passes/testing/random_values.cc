#include "passes/testing/random_values.h"

#include <xxhash.h>

#include <cmath>
#include <random>

#include "ir/base/scalars.h"

namespace gptc {
namespace {

// Epsilon is large: a gradient that is zero but for rounding must not become a step of full length.
constexpr double kScalarValues[kScalarCount] = {
    /*kLearningRate*/ 1e-2,
    /*kBeta1*/ 0.9,
    /*kBeta2*/ 0.95,
    /*kEpsilon*/ 1e-2,
    /*kWeightDecay*/ 0.1,
    /*kClip*/ 1,
    /*kStep*/ 3,
    /*kInverseTokens*/ 0.125,
    /*kLossScale*/ 1,
    /*kSeed*/ 1234567,
    /*kFirstSequence*/ 5};

}  // namespace

HostTensor RandomTensor(uint64_t seed, std::string_view name, const Type& type) {
  HostTensor tensor(type);
  if (name == kScalarsState && type == Type{DType::kF64, {kScalarCount}}) {
    tensor.data.assign(kScalarValues, kScalarValues + kScalarCount);
    return tensor;
  }
  std::mt19937_64 random(XXH3_64bits_withSeed(name.data(), name.size(), seed));
  std::normal_distribution<double> normal;
  for (double& value : tensor.data) value = IsFloat(type.dtype) ? normal(random) : static_cast<double>(random() % 2);
  RoundToType(tensor);
  return tensor;
}

StateMap RandomStates(const Module& module, uint64_t seed) {
  StateMap states;
  for (const State& state : module.states) {
    HostTensor tensor = RandomTensor(seed, state.name, state.type);
    if (state.kind == StateKind::kOptimizer) {
      for (double& value : tensor.data) value = std::abs(value);
    }
    states.emplace(state.name, std::move(tensor));
  }
  return states;
}

std::vector<HostTensor> RandomInputs(const Graph& graph, uint64_t seed) {
  std::vector<HostTensor> inputs;
  for (Value input : graph.inputs) inputs.push_back(RandomTensor(seed, graph.info(input).name, graph.type(input)));
  return inputs;
}

}  // namespace gptc
