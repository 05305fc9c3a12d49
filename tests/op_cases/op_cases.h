// One table of op cases: what an op is tried on. One row serves the shape rules, the kernels of every device against
// the reference evaluator, gradients against finite differences, and the benchmarks (op_cases_test.cc has the modes).
//
//   {"odd width", Op::kLayerNorm, {F32({7, 33}), F32({33}), F32({33})}, {{"epsilon", 1e-5}}}
//
// A family's cases stand in the file of its name. Every op of ops.def has at least one, every differentiable op one
// that is small enough for finite differences.
#ifndef GPTC_TESTS_OP_CASES_OP_CASES_H_
#define GPTC_TESTS_OP_CASES_OP_CASES_H_

#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "ir/base/op_table.h"
#include "ir/base/type.h"
#include "ir/reference.h"

namespace gptc {

// What stands in an input. Everything is rounded to the input's dtype.
enum class Fill {
  kNormal,    // floats N(0, 1); i32 in -100..100; bool 0 or 1
  kPositive,  // uniform in [0.5, 2)
  kAway,      // ± uniform in [0.5, 2): away from 0, where quotients and kinks are
  kSmall,     // uniform in [0, 0.01)
  kLarge,     // ± powers of ten up to 1e30 (bf16 too)
  kWide,      // uniform in [-85, 85)
  kSpecial,   // N(0, 1) with ±0, ±infinity, NaN and the least and greatest numbers in between
  kTies,      // integers in -2..2
  kIds,       // integers in 0..limit-1
  kIgnored,   // the same, every third one negative
  kScalars,   // the run-time scalars of a middling step
};

struct CaseInput {
  Type type;
  Fill fill = Fill::kNormal;
  int64_t limit = 0;
};
inline CaseInput F32(Shape shape, Fill fill = Fill::kNormal) { return {{DType::kF32, std::move(shape)}, fill}; }
inline CaseInput BF16(Shape shape, Fill fill = Fill::kNormal) { return {{DType::kBF16, std::move(shape)}, fill}; }
inline CaseInput F64(Shape shape, Fill fill = Fill::kNormal) { return {{DType::kF64, std::move(shape)}, fill}; }
inline CaseInput I32(Shape shape, Fill fill = Fill::kNormal, int64_t limit = 0) {
  return {{DType::kI32, std::move(shape)}, fill, limit};
}
inline CaseInput Bool(Shape shape) { return {{DType::kBool, std::move(shape)}, Fill::kNormal}; }
// f64[kScalarCount].
CaseInput ScalarsInput();

struct OpCase {
  std::string label;
  Op op;
  std::vector<CaseInput> inputs;
  Attributes attributes = {};  // defaults may be left out

  // The size of what a result is the small difference or the long sum of: an absolute error of this times the f32 (or
  // f64) tolerance is allowed besides the relative one. √n for a sum of n numbers of size 1.
  double amplitude = 1;
  // Whether the op has a derivative at such inputs: no ties, infinities or kinks.
  bool differentiable = true;
  // Changes the filled inputs where they depend on each other.
  std::function<void(std::vector<HostTensor>&)> prepare = nullptr;

  // "layer_norm: odd width".
  std::string Name() const { return Cat(NameOf(op), ": ", label); }
};

// All of them, family by family.
std::span<const OpCase> AllOpCases();

// Zeros what pads a packed matrix [k, n].
void ClearPadding(HostTensor& packed, int64_t k, int64_t n);

std::vector<OpCase> ElementwiseCases();
std::vector<OpCase> ElementwiseDataCases();
std::vector<OpCase> ActivationCases();
std::vector<OpCase> FusedCases();
std::vector<OpCase> MovementCases();
std::vector<OpCase> ReductionCases();
std::vector<OpCase> MatMulCases();
std::vector<OpCase> LinearCases();
std::vector<OpCase> NormCases();
std::vector<OpCase> AttentionCases();
std::vector<OpCase> EmbeddingCases();
std::vector<OpCase> DropoutCases();
std::vector<OpCase> LossCases();
std::vector<OpCase> OptimizerCases();

// The inputs of a case, as this seed makes them. `widened`: floats as f64, not rounded (for finite differences).
std::vector<HostTensor> FillInputs(const OpCase& op_case, uint32_t seed, bool widened = false);

// The case's attributes with all defaults, and its result types. Errors say what is wrong with the case.
StatusOr<Attributes> CompletedAttributes(const OpCase& op_case);
StatusOr<std::vector<Type>> ResultTypes(const OpCase& op_case, std::span<const Type> input_types);
std::vector<Type> InputTypes(const OpCase& op_case);

}  // namespace gptc

#endif  // GPTC_TESTS_OP_CASES_OP_CASES_H_
