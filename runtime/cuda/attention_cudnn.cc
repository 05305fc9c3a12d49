#include "runtime/cuda/attention_cudnn.h"

#include <cmath>
#include <limits>
#include <utility>

#include "ir/base/check.h"
#include "ir/base/library.h"
#include "runtime/cuda/arguments.h"

#if __has_include(<cudnn_graph.h>)
#include "runtime/cuda/graph_cudnn.h"

namespace gptc {
namespace {

// Before 9.10.2 the backward has known bugs; up to 9.15.0 it wants a padding mask for lengths that are no multiple of
// 128 (release notes of cuDNN; support checks of NVIDIA's cudnn-frontend).
constexpr size_t kOldest = 91002, kAnyLength = 91501;

struct AttentionShape {
  int64_t batch, tokens, heads, head_size;
  float scale;
  bool causal;

  int64_t width() const { return heads * head_size; }
  CudnnDims rows() const { return {batch, heads, tokens, head_size}; }     // q, k, v, y and their gradients
  CudnnDims columns() const { return {batch, heads, head_size, tokens}; }  // their transposes
  CudnnDims scores() const { return {batch, heads, tokens, tokens}; }
  CudnnDims row_sums() const { return {batch, heads, tokens, 1}; }
  // Of a head's rows within [batch, tokens, `pitch`], and of its transpose.
  CudnnDims StridesOfRows(int64_t pitch) const { return {tokens * pitch, head_size, pitch, 1}; }
  CudnnDims StridesOfColumns(int64_t pitch) const { return {tokens * pitch, head_size, 1, pitch}; }
  CudnnDims StridesOfScores() const { return {heads * tokens * tokens, tokens * tokens, tokens, 1}; }
  CudnnDims StridesOfRowSums() const { return {heads * tokens, tokens, 1, 1}; }
};

constexpr cudnnDataType_t kBf16 = CUDNN_DATA_BFLOAT16, kF32 = CUDNN_DATA_FLOAT, kI32 = CUDNN_DATA_INT32,
                          kBool = CUDNN_DATA_BOOLEAN;

// The graphs below are the ones that cuDNN's attention engines recognize: those of NVIDIA's cudnn-frontend (nodes SDPA
// and SDPA backward), operation by operation and type by type. Another spelling of the same function may find no
// kernel, or a slow one.
class AttentionGraph : public CudnnGraph {
 public:
  AttentionGraph(const CudnnApi& api, std::string name, const AttentionShape& shape)
      : CudnnGraph(api, std::move(name)), shape_(shape) {}

  CudnnTensor Scores(std::string_view name, cudnnDataType_t type = kF32) {
    return Virtual(name, type, shape_.scores(), shape_.StridesOfScores());
  }
  CudnnTensor RowSums(std::string_view name) {
    return Virtual(name, kF32, shape_.row_sums(), shape_.StridesOfRowSums());
  }
  CudnnTensor Apply(std::string_view name, cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b) {
    const CudnnTensor y = Virtual(name, kF32, x.dims, x.strides);
    Map(name, {mode}, x, b, y);
    return y;
  }
  CudnnTensor Apply(std::string_view name, cudnnPointwiseMode_t mode, const CudnnTensor& x) {
    const CudnnTensor y = Virtual(name, kF32, x.dims, x.strides);
    Map(name, {mode}, x, y);
    return y;
  }
  // Minus infinity where a column is behind its row.
  CudnnTensor Causal(const CudnnTensor& scores) {
    const CudnnTensor row = Scores("row index", kI32), column = Scores("column index", kI32);
    Map("row index", {.mode = CUDNN_POINTWISE_GEN_INDEX, .axis = 2}, scores, row);
    Map("column index", {.mode = CUDNN_POINTWISE_GEN_INDEX, .axis = 3}, scores, column);
    const CudnnTensor seen = Scores("seen", kBool), y = Scores("masked scores");
    Map("seen", {.mode = CUDNN_POINTWISE_CMP_GE, .compute = kBool}, row, column, seen);
    Select("mask", scores, Scalar("minus infinity", -std::numeric_limits<float>::infinity()), seen, y);
    return y;
  }

 private:
  const AttentionShape shape_;
};

struct Forward {
  std::unique_ptr<CudnnPlan> plan;
  CudnnTensor q, k, v, y, lse;
};

// lse = max + log Σ exp(scores - max) of the scaled scores: the natural logarithm, as in flash_attention.
StatusOr<Forward> MakeForward(const CudnnApi& api, cudnnHandle_t handle, std::string_view properties,
                              const AttentionShape& shape) {
  AttentionGraph g(api, "attention", shape);
  Forward f;
  const int64_t packed = 3 * shape.width();
  f.q = g.Stored("q", kBf16, shape.rows(), shape.StridesOfRows(packed));
  f.k = g.Stored("k", kBf16, shape.columns(), shape.StridesOfColumns(packed));
  const CudnnTensor products = g.Scores("products");
  g.MatMul("q·kᵀ", f.q, f.k, products);
  CudnnTensor scores = g.Apply("scores", CUDNN_POINTWISE_MUL, products, g.Scalar("scale", shape.scale));
  if (shape.causal) scores = g.Causal(scores);
  const CudnnTensor most = g.RowSums("max");
  g.Reduce("max", CUDNN_REDUCE_TENSOR_MAX, scores, most);
  const CudnnTensor powers =
      g.Apply("powers", CUDNN_POINTWISE_EXP, g.Apply("sub max", CUDNN_POINTWISE_SUB, scores, most));
  const CudnnTensor sum = g.RowSums("sum");
  g.Reduce("sum", CUDNN_REDUCE_TENSOR_ADD, powers, sum);
  const CudnnTensor log = g.Apply("log", CUDNN_POINTWISE_LOG, sum);
  f.lse = g.Stored("lse", kF32, shape.row_sums(), shape.StridesOfRowSums());
  g.Map("lse", {CUDNN_POINTWISE_ADD}, most, log, f.lse);
  const CudnnTensor weights = g.Scores("weights", kBf16);
  g.Map("weights", {CUDNN_POINTWISE_DIV}, powers, sum, weights);
  f.v = g.Stored("v", kBf16, shape.rows(), shape.StridesOfRows(packed));
  f.y = g.Stored("y", kBf16, shape.rows(), shape.StridesOfRows(shape.width()));
  g.MatMul("weights·v", weights, f.v, f.y);
  ASSIGN_OR_RETURN(f.plan, std::move(g).Build(handle, properties));
  return f;
}

struct Backward {
  std::unique_ptr<CudnnPlan> plan;
  CudnnTensor dy, q, k, v, y, lse, dq, dk, dv;
  CudnnTensor row_sums;  // Σ dy·y of each row, in our workspace
  CudnnTensor dq_sums;   // dq in f32, in our workspace; index -1 where dq is written at once
};

// weights = exp(scores - lse), dv = weightsᵀ·dy, dscores = weights · (dy·vᵀ - Σ dy·y) · scale, dk = dscoresᵀ·q,
// dq = dscores·k.
StatusOr<Backward> MakeBackward(const CudnnApi& api, cudnnHandle_t handle, std::string_view properties,
                                const AttentionShape& shape, CudnnAttention::Bits bits) {
  AttentionGraph g(api, "attention backward", shape);
  Backward f;
  const int64_t packed = 3 * shape.width(), width = shape.width(), tokens = shape.tokens;
  const CudnnDims rows_strides = shape.StridesOfRows(packed);
  const CudnnDims transposed_strides = {shape.heads * tokens * tokens, tokens * tokens, 1, tokens};

  f.dy = g.Stored("dy", kBf16, shape.rows(), shape.StridesOfRows(width));
  f.y = g.Stored("y", kBf16, shape.rows(), shape.StridesOfRows(width));
  const CudnnTensor dy_y = g.Virtual("dy·y", kF32, shape.rows(), {width * tokens, tokens * shape.head_size, width, 1});
  g.Map("dy·y", {CUDNN_POINTWISE_MUL}, f.dy, f.y, dy_y);
  const CudnnTensor dy_y_sums = g.RowSums("row sums of dy·y");
  g.Reduce("row sums of dy·y", CUDNN_REDUCE_TENSOR_ADD, dy_y, dy_y_sums);
  f.row_sums = g.Stored("row sums", kF32, shape.row_sums(), shape.StridesOfRowSums());
  g.Map("row sums", {CUDNN_POINTWISE_MUL}, dy_y_sums, g.Scalar("one", 1.0f), f.row_sums);

  f.q = g.Stored("q", kBf16, shape.rows(), rows_strides);
  f.k = g.Stored("k", kBf16, shape.columns(), shape.StridesOfColumns(packed));
  f.lse = g.Stored("lse", kF32, shape.row_sums(), shape.StridesOfRowSums());
  const CudnnTensor scale = g.Scalar("scale", shape.scale);
  const CudnnTensor products = g.Scores("products");
  g.MatMul("q·kᵀ", f.q, f.k, products);
  CudnnTensor logs =
      g.Apply("sub lse", CUDNN_POINTWISE_SUB, g.Apply("scores", CUDNN_POINTWISE_MUL, products, scale), f.lse);
  if (shape.causal) logs = g.Causal(logs);
  const CudnnTensor weights = g.Apply("weights", CUDNN_POINTWISE_EXP, logs);
  const CudnnTensor weights_t = g.Virtual("weightsᵀ", kBf16, shape.scores(), transposed_strides);
  g.Reshape("weightsᵀ", weights, weights_t);
  f.dv = g.Stored("dv", kBf16, shape.rows(), rows_strides);
  g.MatMul("weightsᵀ·dy", weights_t, f.dy, f.dv);

  f.v = g.Stored("v", kBf16, shape.columns(), shape.StridesOfColumns(packed));
  const CudnnTensor dweights = g.Scores("dweights");
  g.MatMul("dy·vᵀ", f.dy, f.v, dweights);
  const CudnnTensor centered = g.Apply("sub row sums", CUDNN_POINTWISE_SUB, dweights, f.row_sums);
  const CudnnTensor dscores =
      g.Apply("dscores", CUDNN_POINTWISE_MUL, g.Apply("by weights", CUDNN_POINTWISE_MUL, centered, weights), scale);
  const CudnnTensor dscores_t = g.Virtual("dscoresᵀ", kBf16, shape.scores(), transposed_strides);
  g.Reshape("dscoresᵀ", dscores, dscores_t);
  f.dk = g.Stored("dk", kBf16, shape.rows(), rows_strides);
  g.MatMul("dscoresᵀ·q", dscores_t, f.q, f.dk);

  const CudnnTensor k_rows = g.Virtual("k by rows", kBf16, shape.rows(), rows_strides);
  g.Reshape("k by rows", f.k, k_rows);
  f.dq = g.Stored("dq", kBf16, shape.rows(), rows_strides);
  if (bits == CudnnAttention::Bits::kSame) {
    g.MatMul("dscores·k", dscores, k_rows, f.dq);
  } else {
    f.dq_sums =
        g.Stored("dq in f32", kF32, shape.rows(), {tokens * width, tokens * shape.head_size, shape.head_size, 1});
    g.MatMul("dscores·k", dscores, k_rows, f.dq_sums);
    g.Map("dq", {CUDNN_POINTWISE_IDENTITY}, f.dq_sums, f.dq);
  }
  ASSIGN_OR_RETURN(f.plan, std::move(g).Build(handle, properties));
  return f;
}

// Of an op's operand qkv [batch, tokens, 3·width].
AttentionShape ShapeOf(const KernelArgs& args, const TensorView& qkv) {
  const int64_t heads = args.attributes.Int("heads");
  return {qkv.dim(0),
          qkv.dim(1),
          heads,
          qkv.dim(2) / 3 / heads,
          static_cast<float>(args.attributes.Double("scale")),
          args.attributes.Bool("causal")};
}

Status CheckArguments(std::string_view op, const KernelArgs& args, const TensorView& qkv, size_t plain_inputs) {
  const int64_t head_size = qkv.dim(2) / 3 / args.attributes.Int("heads");
  if (qkv.type.dtype != DType::kBF16 || args.has(plain_inputs) || head_size % 8 != 0 || head_size > 128) {
    return absl::UnimplementedError(
        Cat("cuDNN: ", op, " of ", TypeText(qkv.type), ", head size ", head_size,
            args.has(plain_inputs) ? ", with dropout or segments" : "",
            ": supported are bf16, head sizes up to 128 that are multiples of 8, no dropout, no segments"));
  }
  return OkStatus();
}

std::string VersionText(size_t version) { return Cat(version / 10000, ".", version / 100 % 100, ".", version % 100); }

class Implementation : public CudnnAttention {
 public:
  Implementation(CudnnApi api, Bits bits) : api_(api), bits_(bits) {}
  ~Implementation() override {
    if (handle_ != nullptr) api_.Destroy(handle_);
  }

  Status Initialize(cudaStream_t stream) {
    const size_t version = api_.GetVersion();
    if (version < kOldest) {
      return FailedPrecondition("cuDNN: ", name(), " is too old: attention needs ", VersionText(kOldest));
    }
    // Kernels that cuDNN compiles at run time need NVRTC, which it looks for in the loader's path alone: a library that
    // is loaded already is found there. Without it cuDNN has its precompiled kernels.
    const std::string nvrtc = Cat("libnvrtc.so.", api_.GetCudartVersion() / 1000);
    (void)OpenLibrary("NVRTC", {nvrtc.c_str()});
    RETURN_IF_ERROR(api_.Check(api_.Create(&handle_), "cudnnCreate"));
    return api_.Check(api_.SetStream(handle_, stream), "cudnnSetStream");
  }

  std::string name() const override {
    return Cat("cuDNN ", VersionText(api_.GetVersion()), " (",
               FileOfSymbol(reinterpret_cast<const void*>(api_.GetVersion)), ")");
  }

  StatusOr<BoundKernel> BindForward(const KernelArgs& args) override {
    const TensorView& qkv = args.input(0);
    RETURN_IF_ERROR(CheckArguments("flash_attention", args, qkv, 1));
    const AttentionShape shape = ShapeOf(args, qkv);
    ASSIGN_OR_RETURN(Forward made, MakeForward(api_, handle_, "", shape));
    args.scratch.Request(static_cast<size_t>(made.plan->workspace_bytes()));
    auto* const in = qkv.as<uint16_t>();
    std::vector<CudnnPlan::Binding> data = {{made.q.index, in},
                                            {made.k.index, in + shape.width()},
                                            {made.v.index, in + 2 * shape.width()},
                                            {made.y.index, args.result(0).data},
                                            {made.lse.index, args.result(1).data}};
    return BoundKernel([handle = handle_, plan = std::shared_ptr<CudnnPlan>(std::move(made.plan)),
                        data = std::move(data), scratch = &args.scratch] {
      const Status status = plan->Execute(handle, data, scratch->data());
      CHECK(status.ok(), Message(status));
    });
  }

  StatusOr<BoundKernel> BindBackward(const KernelArgs& args) override {
    const TensorView& qkv = args.input(1);
    RETURN_IF_ERROR(CheckArguments("flash_attention_backward", args, qkv, 4));
    const AttentionShape shape = ShapeOf(args, qkv);
    if (shape.tokens % 128 != 0 && api_.GetVersion() < kAnyLength) {
      return absl::UnimplementedError(Cat("cuDNN: ", name(), " has no attention backward for ", shape.tokens,
                                          " tokens, only for multiples of 128; ", VersionText(kAnyLength), " has"));
    }
    ASSIGN_OR_RETURN(Backward made, MakeBackward(api_, handle_, "", shape, bits_));
    // The workspace: the rows' sums, dq in f32 where it is added up there, then cuDNN's own.
    const auto padded = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
    const int64_t dq_sums = padded(4 * shape.batch * shape.heads * shape.tokens);
    const int64_t own = dq_sums + (made.dq_sums.index < 0 ? 0 : padded(4 * shape.batch * shape.tokens * shape.width()));
    args.scratch.Request(static_cast<size_t>(own + made.plan->workspace_bytes()));
    auto* const in = qkv.as<uint16_t>();
    auto* const out = args.result().as<uint16_t>();
    std::vector<CudnnPlan::Binding> data = {{made.dy.index, args.input(0).data},
                                            {made.q.index, in},
                                            {made.k.index, in + shape.width()},
                                            {made.v.index, in + 2 * shape.width()},
                                            {made.y.index, args.input(2).data},
                                            {made.lse.index, args.input(3).data},
                                            {made.dq.index, out},
                                            {made.dk.index, out + shape.width()},
                                            {made.dv.index, out + 2 * shape.width()}};
    return BoundKernel([handle = handle_, plan = std::shared_ptr<CudnnPlan>(std::move(made.plan)), data,
                        row_sums_index = made.row_sums.index, dq_sums_index = made.dq_sums.index, dq_sums, own,
                        scratch = &args.scratch] {
      auto* const base = static_cast<unsigned char*>(scratch->data());
      std::vector<CudnnPlan::Binding> all = data;
      all.push_back({row_sums_index, base});
      if (dq_sums_index >= 0) all.push_back({dq_sums_index, base + dq_sums});
      const Status status = plan->Execute(handle, all, base + own);
      CHECK(status.ok(), Message(status));
    });
  }

 private:
  const CudnnApi api_;
  const Bits bits_;
  cudnnHandle_t handle_ = nullptr;
};

}  // namespace

StatusOr<std::unique_ptr<CudnnAttention>> CudnnAttention::Open(cudaStream_t stream, Bits bits) {
  ASSIGN_OR_RETURN(const CudnnApi api, CudnnApi::Open());
  auto attention = std::make_unique<Implementation>(api, bits);
  RETURN_IF_ERROR(attention->Initialize(stream));
  return attention;
}

StatusOr<std::string> DescribeCudnnAttention(std::string_view properties, int64_t batch, int64_t tokens, int64_t heads,
                                             int64_t head_size, bool causal, CudnnAttention::Bits bits) {
  ASSIGN_OR_RETURN(const CudnnApi api, CudnnApi::Open());
  const AttentionShape shape = {batch, tokens, heads, head_size, 1.0f / std::sqrt(static_cast<float>(head_size)),
                                causal};
  ASSIGN_OR_RETURN(const Forward forward, MakeForward(api, nullptr, properties, shape));
  ASSIGN_OR_RETURN(const Backward backward, MakeBackward(api, nullptr, properties, shape, bits));
  const auto text = [](const CudnnPlan& plan) {
    return Cat("workspace ", plan.workspace_bytes(), " bytes", plan.nondeterministic() ? ", bits may differ" : "");
  };
  return Cat("forward: ", text(*forward.plan), "; backward: ", text(*backward.plan));
}

}  // namespace gptc

#else  // the build has no cuDNN headers

namespace gptc {
namespace {
Status WithoutCudnn() { return absl::UnimplementedError("cuDNN: this program was built without its headers"); }
}  // namespace

StatusOr<std::unique_ptr<CudnnAttention>> CudnnAttention::Open(cudaStream_t, Bits) { return WithoutCudnn(); }
StatusOr<std::string> DescribeCudnnAttention(std::string_view, int64_t, int64_t, int64_t, int64_t, bool,
                                             CudnnAttention::Bits) {
  return WithoutCudnn();
}

}  // namespace gptc

#endif
