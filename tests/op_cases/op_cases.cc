#include "tests/op_cases/op_cases.h"

#include <cmath>
#include <limits>

#include "ir/base/infer.h"
#include "ir/base/scalars.h"

namespace gptc {
namespace {

double Element(const CaseInput& input, int64_t i, std::mt19937& random) {
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  const auto integer = [&](int64_t low, int64_t high) {
    return static_cast<double>(std::uniform_int_distribution<int64_t>(low, high)(random));
  };
  const auto sign = [&] { return random() % 2 == 0 ? 1.0 : -1.0; };
  switch (input.fill) {
    case Fill::kNormal:
      if (input.type.dtype == DType::kBool) return integer(0, 1);
      if (!IsFloat(input.type.dtype)) return integer(input.type.dtype == DType::kU16 ? 0 : -100, 100);
      return std::normal_distribution<double>()(random);
    case Fill::kPositive:
      return uniform(0.5, 2);
    case Fill::kAway:
      return sign() * uniform(0.5, 2);
    case Fill::kSmall:
      return uniform(0, 0.01);
    case Fill::kLarge:
      return sign() * std::pow(10, uniform(0, 30));
    case Fill::kWide:
      return uniform(-85, 85);
    case Fill::kSpecial: {
      constexpr double kInfinity = std::numeric_limits<double>::infinity();
      constexpr double kSpecials[] = {0.0,   -0.0,   kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN(),
                                      1e-37, -1e-37, 3e38,      -3e38};
      const double other = std::normal_distribution<double>()(random);
      return random() % 2 == 0 ? kSpecials[random() % std::size(kSpecials)] : other;
    }
    case Fill::kTies:
      return integer(-2, 2);
    case Fill::kIds:
      return integer(0, input.limit - 1);
    case Fill::kIgnored: {
      const double id = integer(0, input.limit - 1);
      return i % 3 != 1 ? id : i % 2 == 0 ? -1 : -100;
    }
    case Fill::kScalars:
      break;
  }
  constexpr double kValues[kScalarCount] = {/*kLearningRate*/ 1e-3,
                                            /*kBeta1*/ 0.9,
                                            /*kBeta2*/ 0.95,
                                            /*kEpsilon*/ 1e-8,
                                            /*kWeightDecay*/ 0.1,
                                            /*kClip*/ 1,
                                            /*kStep*/ 3,
                                            /*kInverseTokens*/ 0.02,
                                            /*kLossScale*/ 1,
                                            /*kSeed*/ 123456789012,
                                            /*kFirstSequence*/ 5};
  return kValues[i];
}

}  // namespace

CaseInput ScalarsInput() { return F64({kScalarCount}, Fill::kScalars); }

std::span<const OpCase> AllOpCases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (auto* family : {ElementwiseCases, ElementwiseDataCases, ActivationCases, FusedCases, MovementCases,
                         ReductionCases, MatMulCases, LinearCases, NormCases, AttentionCases, EmbeddingCases,
                         DropoutCases, LossCases, OptimizerCases}) {
      for (OpCase& op_case : family()) all.push_back(std::move(op_case));
    }
    return all;
  }();
  return cases;
}

std::vector<HostTensor> FillInputs(const OpCase& op_case, uint32_t seed, bool widened) {
  std::mt19937 random(seed);
  std::vector<HostTensor> tensors;
  for (const CaseInput& input : op_case.inputs) {
    HostTensor tensor(input.type);
    if (widened && IsFloat(tensor.type.dtype)) tensor.type.dtype = DType::kF64;
    for (size_t i = 0; i < tensor.data.size(); ++i) tensor.data[i] = Element(input, static_cast<int64_t>(i), random);
    tensors.push_back(std::move(tensor));
  }
  if (op_case.prepare) op_case.prepare(tensors);
  for (HostTensor& tensor : tensors) RoundToType(tensor);
  return tensors;
}

StatusOr<Attributes> CompletedAttributes(const OpCase& op_case) {
  Attributes attributes = op_case.attributes;
  RETURN_IF_ERROR(CompleteAttributes(InfoOf(op_case.op), attributes));
  return attributes;
}

StatusOr<std::vector<Type>> ResultTypes(const OpCase& op_case, std::span<const Type> input_types) {
  ASSIGN_OR_RETURN(const Attributes attributes, CompletedAttributes(op_case));
  std::vector<std::string> names;
  for (size_t i = 0; i < input_types.size(); ++i) names.push_back(Cat("%", i));
  return InferTypes({InfoOf(op_case.op), input_types, attributes, {}, names});
}

std::vector<Type> InputTypes(const OpCase& op_case) {
  std::vector<Type> types;
  for (const CaseInput& input : op_case.inputs) types.push_back(input.type);
  return types;
}

}  // namespace gptc
