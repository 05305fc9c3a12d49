// What every op is, read from ops.def. A row there asks for these functions, each found by its pasted name; one that is
// missing is a link error that names it:
//   Infer<Name>     ir/ops/<family>.cc         result types from operand types                        (ir/base/infer.h)
//   Eval<Name>      ir/reference/<family>.cc   the value, in plain double-precision loops             (ir/reference.h)
//   Vjp<Name>       autodiff/rules/<family>.cc where the gradient column says kVjp                    (autodiff/vjp.h)
//   BindCpu<Name>   runtime/cpu/<family>.cc    where the execution column says kKernel (runtime/cpu/kernels.h)
#ifndef GPTC_IR_BASE_OP_TABLE_H_
#define GPTC_IR_BASE_OP_TABLE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/attributes.h"
#include "ir/base/status.h"

namespace gptc {

enum class Op : uint16_t {
#define OP(name, ...) k##name,
#include "ir/base/ops.def"
#undef OP
};
inline constexpr int kOpCount = 0
#define OP(...) +1
#include "ir/base/ops.def"
#undef OP
    ;

struct OperandSpec {
  std::string name;
  bool optional = false;
  bool variadic = false;       // one or more
  std::vector<int> may_alias;  // of a result: the inputs (a variadic one: all of its tail) it may be written over
  bool pairwise = false;       // of a variadic result: the i-th over the i-th of the variadic input's tail alone
};

struct AttributeSpec {
  std::string name;
  AttributeType type;
  std::optional<AttributeValue> default_value;
};

enum class Gradient : uint8_t { kVjp, kNone };
enum class Execution : uint8_t { kKernel, kView };

struct OpInfo {
  Op op;
  std::string name;    // as in text: "layer_norm"
  std::string symbol;  // as in function names: "LayerNorm"
  std::string family;  // "norm"
  std::vector<OperandSpec> inputs, results;
  std::vector<AttributeSpec> attributes;  // sorted by name
  Gradient gradient;
  Execution execution;

  // "2", "2 or 3", "1 to 3" or "at least 1": how many inputs an op takes.
  std::string InputCountText() const;
  bool AcceptsInputCount(size_t count) const;
  // The spec of the i-th input (the variadic one for all of its tail).
  const OperandSpec& Input(size_t i) const;
  // The inputs, of `input_count`, that the result may be written over where they have its type, in order of preference.
  std::vector<int> AliasCandidates(size_t result, size_t input_count) const;
  bool MayAlias(size_t result, size_t input) const;
  const AttributeSpec* Attribute(std::string_view attribute) const;
};

const OpInfo& InfoOf(Op op);
inline const std::string& NameOf(Op op) { return InfoOf(op).name; }
std::optional<Op> OpNamed(std::string_view name);
// Every op's text name, for suggestions.
std::span<const std::string> OpNames();

// "i64", "str", ...
std::string_view NameOf(AttributeType type);

// Fills defaults in, and checks that every attribute is known, present and of its type. Errors name op and attribute.
Status CompleteAttributes(const OpInfo& info, Attributes& attributes);

}  // namespace gptc

#endif  // GPTC_IR_BASE_OP_TABLE_H_
