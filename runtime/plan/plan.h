// Reading, checking and writing plan files (plan.fbs; docs/plan_format.md).
//
// In memory a plan is the FlatBuffer compiler's plain structs: plan::PlanT, EntryT, StepT, ...
#ifndef GPTC_RUNTIME_PLAN_PLAN_H_
#define GPTC_RUNTIME_PLAN_PLAN_H_

#include <memory>
#include <string>
#include <string_view>

#include "ir/base/attributes.h"
#include "ir/base/status.h"
#include "ir/base/type.h"
#include "plan_generated.h"

namespace gptc {

inline constexpr int kPlanMajor = 1;
inline constexpr int kPlanMinor = 1;
inline constexpr int64_t kBufferAlignment = 64;

// The bytes of a plan file, with its content hash.
std::string SerializePlan(const plan::PlanT& plan);

// Parses and checks the bytes of a plan file: FlatBuffer structure, identifier, version, content hash, then everything
// that ValidatePlan does. Errors are annotated with `name`, the file. DataLoss: damaged; FailedPrecondition: of another
// version.
StatusOr<std::unique_ptr<plan::PlanT>> ParsePlan(std::string_view bytes, std::string_view name);
StatusOr<std::unique_ptr<plan::PlanT>> ReadPlan(const std::string& path);

// Every index, size, type, alias and attribute of a plan, so that an executor may trust it.
Status ValidatePlan(const plan::PlanT& plan);

// Conversions between the plan's tables and ir/base's types.
Type TypeOf(const plan::BufferT& buffer);
Type TypeOf(const plan::StateT& state);
// The same without the rows that only pad it: what files hold of the state.
Type LogicalTypeOf(const plan::StateT& state);
Attributes AttributesOf(const plan::StepT& step);
std::unique_ptr<plan::AttributeT> MakeAttribute(std::string name, const AttributeValue& value);
AttributeValue ValueOf(const plan::AttributeT& attribute);

// What a step computes in: products and attention in the type of what they multiply, all else in the wider of what it
// reads first and what it gives (a norm of f32 that gives bf16 works in f32).
DType ComputesIn(const plan::EntryT& entry, const plan::StepT& step);

// Look-ups; null or -1 where there is none.
const plan::EntryT* FindEntry(const plan::PlanT& plan, std::string_view name);
int FindState(const plan::PlanT& plan, std::string_view name);
int64_t DimensionOf(const plan::PlanT& plan, std::string_view name);
const plan::AttributeT* FindConfig(const plan::PlanT& plan, std::string_view key);
// A configuration value as int64; `otherwise` where it is missing or no number.
int64_t ConfigInt(const plan::PlanT& plan, std::string_view key, int64_t otherwise);
double ConfigDouble(const plan::PlanT& plan, std::string_view key, double otherwise);

// A step that costs nothing: its result lies where its operand does.
bool IsView(const plan::StepT& step);

// Elements of all parameters, as they are outside the plan (padding not counted).
int64_t ParameterCount(const plan::PlanT& plan);

}  // namespace gptc

#endif  // GPTC_RUNTIME_PLAN_PLAN_H_
