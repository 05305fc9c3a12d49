#include "autodiff/training.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "autodiff/autodiff.h"
#include "ir/base/scalars.h"
#include "ir/builder.h"

namespace gptc {
namespace {

constexpr const char* kTrain = "train";
constexpr const char* kMicroStep = "micro_step";
constexpr const char* kUpdate = "update";
constexpr const char* kPrepare = "prepare";

std::string GradientOf(const std::string& parameter) { return Cat("grad.", parameter); }
std::string FirstMomentOf(const std::string& parameter) { return Cat("m.", parameter); }
std::string SecondMomentOf(const std::string& parameter) { return Cat("v.", parameter); }

Status CheckModule(const Module& module) {
  const Graph* train = module.FindGraph(kTrain);
  if (train == nullptr) {
    return InvalidArgument("model ", module.name, " has no graph '", kTrain, "', so it cannot be trained; it needs ",
                           kTrain, "(tokens, targets) -> (loss, count)");
  }
  for (const char* name : {kMicroStep, kUpdate, kPrepare}) {
    if (module.FindGraph(name) == nullptr) continue;
    return InvalidArgument("model ", module.name, " already has a graph '", name, "', a name that training needs");
  }
  if (train->outputs.size() != 2) {
    return InvalidArgument("graph ", kTrain, " returns ", train->outputs.size(),
                           " values; it must return two: (loss, count)");
  }
  const Type& loss = train->type(train->outputs[0].value);
  if (!IsFloat(loss.dtype) || !loss.shape.empty()) {
    return InvalidArgument("graph ", kTrain,
                           " must return a floating-point scalar first, the sum of the token losses; %",
                           train->outputs[0].name, " is ", TypeText(loss, module.Symbols()));
  }
  return OkStatus();
}

// A state of this name would be confused with the one to add.
Status AddState(Module& module, StateIndex& states, State state) {
  if (states.Find(state.name) >= 0) {
    return InvalidArgument("model ", module.name, " already has a state '", state.name,
                           "', a name that training needs");
  }
  module.states.push_back(std::move(state));
  return OkStatus();
}

Status AddScalars(Module& module, StateIndex& states) {
  const Type type{DType::kF64, {kScalarCount}};
  const int at = states.Find(kScalarsState);
  if (at < 0) return AddState(module, states, {.name = kScalarsState, .type = type, .kind = StateKind::kScalars});
  if (module.states[at].kind == StateKind::kScalars && module.states[at].type == type) return OkStatus();
  return InvalidArgument("state '", kScalarsState, "' is ", TypeText(module.states[at].type), ", of kind ",
                         NameOf(module.states[at].kind), "; training needs that name for ", TypeText(type),
                         ", of kind ", NameOf(StateKind::kScalars));
}

Status AddTrainingStates(Module& module, StateIndex& states, int parameter) {
  // A copy: adding states moves them.
  const State p = module.states[parameter];
  const auto add = [&](std::string name, StateKind kind) {
    State state;
    state.name = std::move(name);
    state.type = {DType::kF32, p.type.shape};
    state.kind = kind;
    state.logical_rows = p.logical_rows;
    state.of = p.name;
    return AddState(module, states, std::move(state));
  };
  RETURN_IF_ERROR(add(GradientOf(p.name), StateKind::kGradient));
  RETURN_IF_ERROR(add(FirstMomentOf(p.name), StateKind::kOptimizer));
  return add(SecondMomentOf(p.name), StateKind::kOptimizer);
}

// One of the run-time scalars, f64[].
Tensor ReadScalar(GraphBuilder& g, Scalar scalar) {
  return g.Reshape(g.Slice(g.State(kScalarsState), 0, scalar, 1), {});
}

// Moves each op of `moved`, which stand at the end of the graph, to just behind the producer of its last operand.
void MoveBehindProducer(Graph& graph, size_t moved) {
  const size_t rest = graph.ops.size() - moved;
  absl::flat_hash_map<int, std::vector<size_t>> behind;  // by the producing op; -1: an input or a state
  for (size_t i = rest; i < graph.ops.size(); ++i) {
    const ValueInfo& operand = graph.info(graph.ops[i].inputs.back());
    behind[operand.kind == ValueInfo::Kind::kResult ? operand.producer : -1].push_back(i);
  }
  std::vector<OpNode> ordered;
  ordered.reserve(graph.ops.size());
  for (int i = -1; i < static_cast<int>(rest); ++i) {
    if (i >= 0) ordered.push_back(std::move(graph.ops[i]));
    for (const size_t follower : behind[i]) ordered.push_back(std::move(graph.ops[follower]));
  }
  graph.ops = std::move(ordered);
  graph.Renumber();
}

// Turns the loss graph into the micro-step. Returns the trained parameters, as indices into module.states.
StatusOr<std::vector<int>> BuildMicroStep(Module& module, StateIndex& states) {
  Graph& graph = *module.FindGraph(kTrain);
  graph.name = kMicroStep;
  GraphBuilder g(module, graph);
  const Tensor loss{&g, graph.outputs[0].value};

  std::vector<int> read;
  std::vector<Tensor> values;
  for (int i = 0; i < static_cast<int>(module.states.size()); ++i) {
    const Value value = graph.FindState(i);
    if (!value.valid() || module.states[i].kind != StateKind::kParameter) continue;
    read.push_back(i);
    values.push_back({&g, value});
  }
  const Tensor seed = g.Name(g.Cast(ReadScalar(g, kLossScale), loss.type().dtype), "loss_scale");
  ASSIGN_OR_RETURN(std::vector<Tensor> gradients, AppendBackward(g, loss, values, seed));

  std::vector<int> trained;
  for (size_t i = 0; i < read.size(); ++i) {
    if (!gradients[i].valid()) continue;
    if (gradients[i].type().dtype != DType::kF32) gradients[i] = g.Cast(gradients[i], DType::kF32);
    trained.push_back(read[i]);
    RETURN_IF_ERROR(AddTrainingStates(module, states, read[i]));
  }
  if (trained.empty()) {
    return InvalidArgument("model ", module.name, ": the loss of graph ", kTrain,
                           " depends on no parameter; there is nothing to train");
  }
  for (size_t i = 0; i < read.size(); ++i) {
    if (!gradients[i].valid()) continue;
    const std::string state = GradientOf(module.states[read[i]].name);
    g.StoreState(state, g.Name(g.Add(g.State(state), gradients[i]), Cat(state, ".new")));
  }
  RETURN_IF_ERROR(g.Finish());
  MoveBehindProducer(graph, trained.size());
  graph.Compact();
  return trained;
}

Status BuildUpdate(Module& module, const std::vector<int>& trained) {
  GraphBuilder g(module, kUpdate);
  std::vector<Tensor> gradients;
  for (const int parameter : trained) gradients.push_back(g.State(GradientOf(module.states[parameter].name)));
  const Tensor scaled = g.Name(g.EmitOne(Op::kGlobalNorm, gradients), "scaled_norm");

  // In f64, as the scalars are: 1/tokens / loss_scale spans more than f32 may like.
  const Tensor inverse_tokens = ReadScalar(g, kInverseTokens), loss_scale = ReadScalar(g, kLossScale);
  const Tensor mean = g.Cast(scaled, DType::kF64) * inverse_tokens / loss_scale;
  g.Return("norm", g.Name(g.Cast(mean, DType::kF32), "norm"));

  for (const int index : trained) {
    const State parameter = module.states[index];
    const std::string m = FirstMomentOf(parameter.name), v = SecondMomentOf(parameter.name);
    const std::vector<Tensor> updated = g.Emit(Op::kAdamW,
                                               {g.State(parameter.name), g.State(GradientOf(parameter.name)),
                                                g.State(m), g.State(v), scaled, g.State(kScalarsState)},
                                               {{"decay", parameter.decay}});
    g.StoreState(parameter.name, updated[0]);
    g.StoreState(m, updated[1]);
    g.StoreState(v, updated[2]);
  }
  return g.Finish();
}

}  // namespace

StatusOr<std::vector<std::string>> BuildTraining(Module& module) {
  RETURN_IF_ERROR(CheckModule(module));
  Module built = module;
  StateIndex states(built);
  RETURN_IF_ERROR(AddScalars(built, states));
  ASSIGN_OR_RETURN(const std::vector<int> trained, BuildMicroStep(built, states));
  RETURN_IF_ERROR(BuildUpdate(built, trained));
  RETURN_IF_ERROR(GraphBuilder(built, kPrepare).Finish());

  std::vector<std::string> remarks;
  for (const State& state : built.states) {
    if (state.kind != StateKind::kParameter || states.Find(GradientOf(state.name)) >= 0) continue;
    remarks.push_back(Cat("parameter '", state.name, "' does not reach the loss: it is not trained"));
  }
  module = std::move(built);
  return remarks;
}

}  // namespace gptc
