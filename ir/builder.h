// The C++ DSL in which models, gradient rules and tests write graphs.
//
//   GraphBuilder g(module, "train");
//   Tensor x = g.Embedding(g.State("wte"), g.Input("tokens", DType::kI32, {B, T}));
//   Tensor y = g.Linear(g.Gelu(x * 0.5), w, b);
//
// Every call remembers the source line that made it. A wrong shape does not throw or abort: the first error is kept
// (with the op, the shapes and the line), what follows is ignored, and Finish() returns it.
#ifndef GPTC_IR_BUILDER_H_
#define GPTC_IR_BUILDER_H_

#include <array>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "ir/module.h"

namespace gptc {

class GraphBuilder;

// A value on its way through a builder. Cheap to copy. Invalid after an error.
struct Tensor {
  GraphBuilder* builder = nullptr;
  Value value;
  bool valid() const { return builder != nullptr && value.valid(); }
  const Type& type() const;    // REQUIRES: valid()
  const Shape& shape() const;  // REQUIRES: valid()
};

// An operand of an overloaded operator: a tensor or a number, with the line of the expression.
struct Operand {
  Tensor tensor;
  double number = 0;
  bool is_number = false;
  std::source_location where;
  Operand(Tensor t, std::source_location w = std::source_location::current()) : tensor(t), where(w) {}
  Operand(double n, std::source_location w = std::source_location::current()) : number(n), is_number(true), where(w) {}
};
// A number on the left: `1.0 - x`.
struct Number {
  double value = 0;
  std::source_location where;
  Number(double v, std::source_location w = std::source_location::current()) : value(v), where(w) {}
};
// A number becomes a scalar `constant` of the tensor's element type.
Tensor operator+(Tensor a, Operand b);
Tensor operator-(Tensor a, Operand b);
Tensor operator*(Tensor a, Operand b);
Tensor operator/(Tensor a, Operand b);
Tensor operator+(Number a, Tensor b);
Tensor operator-(Number a, Tensor b);
Tensor operator*(Number a, Tensor b);
Tensor operator/(Number a, Tensor b);

struct MatMulOptions {
  bool transpose_a = false;
  bool transpose_b = false;
};

class GraphBuilder {
 public:
  using Where = std::source_location;

  // Adds a graph of this name to the module; it is an error if there is one. The module must outlive the builder.
  GraphBuilder(Module& module, std::string graph_name);
  // Appends to an existing graph: for rewriting. Ops get `location` where it is known, instead of the C++ line.
  GraphBuilder(Module& module, Graph& graph);

  Module& module() { return *module_; }
  Graph& graph();
  // Ops made from now on carry this location instead of the C++ line (autodiff: the forward op's). Unknown: back to the
  // C++ line.
  void SetLocation(Location location) { location_ = std::move(location); }

  // Declares a state of the module (shared by its graphs). An existing one of the same name is an error unless it is
  // the same.
  void Declare(gptc::State state);
  Tensor Input(std::string name, DType dtype, Shape shape);
  // Reads a declared state.
  Tensor State(std::string_view name, Where where = Where::current());
  void Return(std::string name, Tensor value);
  void StoreState(std::string_view state_name, Tensor value);
  // Names an op's result in the text form (made unique; an input or a state keeps its name). Returns it.
  Tensor Name(Tensor value, std::string_view name);

  // Any op. Result count and types come from its shape rule; on error invalid tensors (result_count of them) return.
  std::vector<Tensor> Emit(Op op, std::vector<Tensor> inputs, Attributes attributes = {},
                           Where where = Where::current());
  Tensor EmitOne(Op op, std::vector<Tensor> inputs, Attributes attributes = {}, Where where = Where::current());

  // Elementwise; operands broadcast.
  Tensor Add(Tensor a, Tensor b, Where where = Where::current());
  Tensor Sub(Tensor a, Tensor b, Where where = Where::current());
  Tensor Mul(Tensor a, Tensor b, Where where = Where::current());
  Tensor Div(Tensor a, Tensor b, Where where = Where::current());
  Tensor Max(Tensor a, Tensor b, Where where = Where::current());
  Tensor Neg(Tensor x, Where where = Where::current());
  Tensor Exp(Tensor x, Where where = Where::current());
  Tensor Log(Tensor x, Where where = Where::current());
  Tensor Tanh(Tensor x, Where where = Where::current());
  Tensor Erf(Tensor x, Where where = Where::current());
  Tensor Sqrt(Tensor x, Where where = Where::current());
  Tensor Rsqrt(Tensor x, Where where = Where::current());
  // direction: "eq", "ne", "lt", "le", "gt", "ge".
  Tensor Compare(Tensor a, Tensor b, std::string_view direction, Where where = Where::current());
  Tensor Select(Tensor condition, Tensor a, Tensor b, Where where = Where::current());
  Tensor Cast(Tensor x, DType to, Where where = Where::current());
  Tensor Constant(double value, DType type = DType::kF32, Shape shape = {}, Where where = Where::current());
  // i32 of this shape, each element its own index along `axis`.
  Tensor Iota(int64_t axis, Shape shape, Where where = Where::current());
  Tensor Copy(Tensor x, Where where = Where::current());

  Tensor Gelu(Tensor x, bool tanh = true, Where where = Where::current());
  Tensor GeluBackward(Tensor x, Tensor dy, bool tanh, Where where = Where::current());
  Tensor Relu(Tensor x, Where where = Where::current());
  Tensor Sigmoid(Tensor x, Where where = Where::current());
  Tensor Silu(Tensor x, Where where = Where::current());

  Tensor Reshape(Tensor x, Shape shape, Where where = Where::current());
  Tensor Broadcast(Tensor x, Shape shape, Where where = Where::current());
  Tensor Transpose(Tensor x, std::vector<int64_t> permutation, Where where = Where::current());
  Tensor Slice(Tensor x, int64_t axis, int64_t start, int64_t size, Where where = Where::current());
  Tensor Pad(Tensor x, int64_t axis, int64_t low, int64_t high, Where where = Where::current());
  std::vector<Tensor> SplitParts(Tensor x, int64_t axis, int64_t parts, Where where = Where::current());
  template <int kParts>
  std::array<Tensor, kParts> Split(Tensor x, int64_t axis, Where where = Where::current()) {
    std::vector<Tensor> parts = SplitParts(x, axis, kParts, where);
    std::array<Tensor, kParts> out;
    for (int i = 0; i < kParts; ++i) out[i] = parts[i];
    return out;
  }
  Tensor Concat(std::vector<Tensor> parts, int64_t axis, Where where = Where::current());

  Tensor Sum(Tensor x, std::vector<int64_t> axes, bool keep = false, Where where = Where::current());
  Tensor Mean(Tensor x, std::vector<int64_t> axes, bool keep = false, Where where = Where::current());
  Tensor ReduceMax(Tensor x, std::vector<int64_t> axes, bool keep = false, Where where = Where::current());
  // Over all axes, to a scalar.
  Tensor SumAll(Tensor x, Where where = Where::current());

  // y = op(a)·op(b) [+ c]; a [..., m, k], b [..., k, n].
  Tensor MatMul(Tensor a, Tensor b, MatMulOptions options = {}, Tensor c = {}, Where where = Where::current());
  // y = x·w [+ bias]; x [..., in], w [in, out], bias [out] (may be invalid: none).
  Tensor Linear(Tensor x, Tensor w, Tensor bias = {}, Where where = Where::current());

  struct Norm {
    Tensor y, mean, rstd;  // rms_norm: no mean
  };
  Norm LayerNorm(Tensor x, Tensor weight, Tensor bias, double epsilon, Where where = Where::current());
  Norm RmsNorm(Tensor x, Tensor weight, double epsilon, Where where = Where::current());

  Tensor CausalMask(Tensor x, Where where = Where::current());
  Tensor Softmax(Tensor x, bool causal = false, Where where = Where::current());
  Tensor CacheUpdate(Tensor cache, Tensor x, Tensor positions, Tensor slots, Where where = Where::current());
  Tensor CachedAttention(Tensor q, Tensor k_cache, Tensor v_cache, Tensor positions, Tensor slots, int64_t heads,
                         double scale, Where where = Where::current());

  struct Attended {
    Tensor y, lse;  // [B, T, C], [B, heads, T]
  };
  // qkv [B, T, 3·C]; `scalars` is there where rate is not 0; `segments` [B, T] may be invalid.
  Attended FlashAttention(Tensor qkv, Tensor scalars, Tensor segments, int64_t heads, double scale, bool causal,
                          double rate = 0, int64_t key = 0, Where where = Where::current());

  Tensor Embedding(Tensor table, Tensor ids, Where where = Where::current());
  // y = x with elements zeroed at `rate` and the rest scaled by 1/(1-rate); `key` is the op's stable name: the mask
  // depends on it and not on where the op stands. rate = 0 returns x. Declares the state `scalars` (ir/base/scalars.h)
  // where the module has none.
  Tensor Dropout(Tensor x, double rate, std::string_view key, Where where = Where::current());

  struct Loss {
    Tensor losses, lse;  // each of targets' shape
  };
  Loss CrossEntropy(Tensor logits, Tensor targets, int64_t classes, Where where = Where::current());
  struct LossGradient {
    Tensor losses, dlogits;
  };
  LossGradient CrossEntropyGradient(Tensor logits, Tensor targets, Tensor dlosses, int64_t classes,
                                    Where where = Where::current());

  // The first error, "models/gpt2.cc:44: matmul: inner dimensions differ: …", or ok.
  Status Finish() const { return status_; }
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

 private:
  Location LocationOf(Where where) const;
  // Keeps the error as "file:line: message".
  void FailAt(const Location& location, const Status& status);
  // Whether `name` can be given to an input or an output; fails where it cannot.
  bool CheckName(std::string_view what, std::string_view name);

  Module* module_;
  StateIndex states_;
  int graph_index_ = -1;    // into module_->graphs, or
  Graph* graph_ = nullptr;  // a graph outside of it
  Location location_;
  Status status_;
};

}  // namespace gptc

#endif  // GPTC_IR_BUILDER_H_
