// A small plan, written by hand: one entry point that adds x·dy to a gradient and returns exp of it.
#ifndef GPTC_RUNTIME_PLAN_SAMPLE_PLAN_FOR_TEST_H_
#define GPTC_RUNTIME_PLAN_SAMPLE_PLAN_FOR_TEST_H_

#include <memory>
#include <utility>

#include "ir/base/check.h"
#include "ir/base/op_table.h"
#include "runtime/plan/plan.h"

namespace gptc {

//   param w: f32[3, 2] rows 2 @0     state grad.w: f32[3, 2] gradient of w @64
//   graph step(x: f32[4, 3] @64, dy: f32[4, 2] @128) {
//     %g: f32[3, 2] @grad.w = matmul x, dy, grad.w {transpose_a = true}
//     %y: f32[3, 2] @0 = exp %g
//     return y = %y
//     store grad.w = %g
//   }
inline plan::PlanT SamplePlan() {
  plan::PlanT plan;
  plan.major = kPlanMajor;
  plan.minor = kPlanMinor;
  plan.compiler = "1.2.3";
  plan.target = "cpu:avx2";
  plan.precision = "f32";
  plan.model = "sample";
  plan.source = "module sample { }";
  plan.source_name = "sample.graph";
  plan.state_bytes = 128;
  plan.arena_bytes = 256;
  plan.config.push_back(MakeAttribute("width", int64_t{3}));
  plan.config.push_back(MakeAttribute("rate", 0.5));
  plan.dimensions.push_back(std::make_unique<plan::DimensionT>());
  plan.dimensions[0]->name = "B";
  plan.dimensions[0]->value = 4;

  auto state = [&](const char* name, plan::StateKind kind, int64_t offset) {
    auto out = std::make_unique<plan::StateT>();
    out->name = name;
    out->kind = kind;
    out->dtype = static_cast<uint8_t>(DType::kF32);
    out->shape = {3, 2};
    out->offset = offset;
    out->logical_rows = 2;
    plan.states.push_back(std::move(out));
  };
  state("w", plan::StateKind::Parameter, 0);
  state("grad.w", plan::StateKind::Gradient, 64);
  plan.states[0]->names.push_back(std::make_unique<plan::ExternalNameT>());
  plan.states[0]->names[0]->format = "hf";
  plan.states[0]->names[0]->name = "transformer.w";

  auto entry = std::make_unique<plan::EntryT>();
  entry->name = "step";
  entry->arena_bytes = 256;
  auto buffer = [&](Shape shape, int of_state, int64_t offset) {
    auto out = std::make_unique<plan::BufferT>();
    out->dtype = static_cast<uint8_t>(DType::kF32);
    out->shape = std::move(shape);
    out->state = of_state;
    out->offset = offset;
    entry->buffers.push_back(std::move(out));
  };
  buffer({4, 3}, -1, 64);   // 0: x
  buffer({4, 2}, -1, 128);  // 1: dy
  buffer({3, 2}, 1, 0);     // 2: grad.w
  buffer({3, 2}, 1, 0);     // 3: %g
  buffer({3, 2}, -1, 0);    // 4: %y
  auto step = [&](Op op, std::vector<uint32_t> inputs, uint32_t result, Attributes attributes) {
    auto out = std::make_unique<plan::StepT>();
    out->kernel = NameOf(op);
    out->inputs = std::move(inputs);
    out->results = {result};
    CHECK(CompleteAttributes(InfoOf(op), attributes).ok());
    for (const auto& [name, value] : attributes.items()) out->attributes.push_back(MakeAttribute(name, value));
    out->location = "sample.graph:3";
    entry->steps.push_back(std::move(out));
  };
  step(Op::kMatMul, {0, 1, 2}, 3, {{"transpose_a", true}, {"transpose_b", false}});
  step(Op::kExp, {3}, 4, {});
  auto port = [](const char* name, uint32_t index) {
    auto out = std::make_unique<plan::PortT>();
    out->name = name;
    out->buffer = index;
    return out;
  };
  entry->inputs.push_back(port("x", 0));
  entry->inputs.push_back(port("dy", 1));
  entry->outputs.push_back(port("y", 4));
  entry->stores.push_back(std::make_unique<plan::StoreT>());
  entry->stores[0]->state = 1;
  entry->stores[0]->buffer = 3;
  plan.entries.push_back(std::move(entry));
  return plan;
}

}  // namespace gptc

#endif  // GPTC_RUNTIME_PLAN_SAMPLE_PLAN_FOR_TEST_H_
