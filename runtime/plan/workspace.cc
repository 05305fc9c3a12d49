#include "runtime/plan/workspace.h"

#include <algorithm>

#include "ir/base/fused_region.h"
#include "ir/base/packing.h"
#include "ir/base/target.h"
#include "runtime/plan/cuda_workspace.h"

namespace gptc {
namespace {

constexpr int64_t kSmall = 64 << 10;  // what any kernel may take without being asked what for

int64_t RoundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
int64_t Elements(const Type& type) { return ElementCount(type.shape); }
int64_t Last(const Type& type) { return type.shape.empty() ? 1 : type.shape.back(); }
// Of each result of a reduction at most 32 parts, of at least 16 elements.
int64_t ReductionBytes(const Type& x, const Type& y) {
  return 8 * (Elements(y) + std::min(Elements(x) / 16, 32 * Elements(y)));
}
int64_t F32Image(const Type& type) { return RoundUp(4 * Elements(type), 64); }

// b in the layout of the product, which comes in tiles of 64 rows and columns, and conversions to f32: of all that is
// not f32 or, where the machine multiplies bf16, of the few rows of a product with a matrix that stays as it is. A b
// that is packed already is unpacked where the machine cannot read it.
Workspace ProductWorkspace(Op op, std::span<const Type> inputs, std::span<const Type> results,
                           const Attributes& attributes, bool bf16) {
  constexpr int64_t kTile = 64, kThread = 1 << 20, kFewRows = 16;
  const Type &a = inputs[0], &b = inputs[1], &y = results[0];
  if ((InfoOf(op).family == "linear" && op != Op::kLinearWeightGradient) ||
      (op == Op::kLinear && attributes.Int("columns") != 0)) {
    const bool packed = attributes.Int("columns") != 0;
    // Sums of a bias gradient, of 64 parts at most; two products a thread, of whole panels and of what is left.
    Workspace workspace{kSmall + 4 * 64 * Last(y), 2 * kThread};
    const int64_t rows = RoundUp(Last(a), kTile), columns = RoundUp(Last(y), kTile);
    if (!packed || !bf16) workspace.shared += rows * columns * (bf16 && b.dtype == DType::kBF16 ? 2 : 4);
    const bool in_bf16 = bf16 && a.dtype == DType::kBF16;
    for (const Type& type : inputs) {
      if (type.dtype != DType::kF32 && &type != &b) {
        workspace.shared += in_bf16 ? std::min(F32Image(type), RoundUp(4 * kFewRows * Last(type), 64)) : F32Image(type);
      }
    }
    if (y.dtype != DType::kF32) {
      workspace.shared += in_bf16 ? std::min(F32Image(y), RoundUp(4 * kFewRows * Last(y), 64)) : F32Image(y);
    }
    return workspace;
  }
  const bool in_bf16 = bf16 && a.dtype == DType::kBF16 && b.dtype == DType::kBF16 &&
                       std::none_of(inputs.begin(), inputs.end(), [](const Type& x) { return x.dtype == DType::kF16; });
  Workspace workspace{kSmall, kThread};
  const int64_t rows = b.shape[b.shape.size() - 2], columns = Last(b);
  const bool bias = op == Op::kLinear && inputs.size() > 2;
  const bool turned = op == Op::kMatMul && attributes.Bool("transpose_b") && rows * columns <= kMostPackedAtOnce;
  if (bias || in_bf16 || turned) {
    workspace.shared += RoundUp(rows, kTile) * RoundUp(columns, kTile) * (in_bf16 ? 2 : 4);
  }
  auto convert = [&](const Type& type) {
    if (type.dtype == DType::kF32) return;
    const int64_t few = 4 * kFewRows * Last(type);
    workspace.shared += in_bf16 ? std::min(F32Image(type), RoundUp(few, 64)) : F32Image(type);
  };
  for (const Type& input : inputs) convert(input);
  convert(y);
  if (op == Op::kLinearWeightGradient) workspace.shared += ReductionBytes(b, results[1]);
  return workspace;
}

// Each thread's copies of k, v, dk and dv of one head, and tiles of 64 rows.
Workspace AttentionWorkspace(int64_t tokens, int64_t head_size) {
  constexpr int64_t kBlock = 64, kPad = 16;
  const int64_t rows = RoundUp(tokens, kBlock), columns = RoundUp(head_size, kPad);
  return {kSmall, 4 * (4 * rows * columns + 5 * kBlock * columns + 5 * kBlock * kBlock + 3 * kBlock)};
}

// Each thread's slots for tiles of the region's space, and partial sums of at most 64 parts of at least 16 rows.
Workspace FusedWorkspace(std::span<const Type> operands, const Attributes& attributes) {
  constexpr int64_t kTile = 2048, kLine = 64;
  Workspace workspace{kSmall, kSmall};
  const auto region = ParseFusedRegion(attributes.Str("region"), static_cast<int>(operands.size()));
  if (!region.ok()) return workspace;
  const auto types = InferFusedRegion(*region, operands);
  if (!types.ok()) return workspace;
  // A slot for each value, and two where it may have to be spread over columns and over tiles.
  int64_t slots = 0, totals = 0;
  for (const Type& value : types->values) slots += value.shape == types->space ? 1 : 3;
  bool whole_rows = false;
  for (FusedForm form : types->forms) {
    totals += form == FusedForm::kTotal ? 1 : 0;
    whole_rows |= form == FusedForm::kColumn;
  }
  const int64_t elements = ElementCount(types->space), width = types->space.back();
  const int64_t tile = std::min(elements, whole_rows ? std::max(width, kTile) : kTile);
  workspace.thread += slots * (RoundUp(4 * tile, kLine) + kLine);
  const int64_t rows = width == 0 ? 0 : elements / width;
  workspace.shared += std::min<int64_t>(64, rows / 16 + 1) * totals * RoundUp(4 * width, kLine);
  return workspace;
}

}  // namespace

Workspace WorkspaceOf(Op op, std::span<const Type> inputs, std::span<const Type> results, const Attributes& attributes,
                      std::string_view target) {
  if (IsCuda(target)) return {CudaWorkspaceBytes(op, inputs, results, attributes), 0};
  const OpInfo& info = InfoOf(op);
  if (info.execution == Execution::kView) return {};
  const bool bf16 = HasBf16Products(target);
  Workspace workspace{kSmall, kSmall};
  if (op == Op::kPack) return workspace;
  if (info.family == "matmul" || info.family == "linear") {
    return ProductWorkspace(op, inputs, results, attributes, bf16);
  }
  if (op == Op::kFlashAttention || op == Op::kFlashAttentionBackward) {
    const Shape& qkv = inputs[op == Op::kFlashAttention ? 0 : 1].shape;
    return AttentionWorkspace(qkv[1], qkv[2] / 3 / std::max<int64_t>(1, attributes.Int("heads")));
  }
  if (op == Op::kFused) return FusedWorkspace(inputs, attributes);
  if (info.family == "norm") {
    // Sums over rows, weights' gradients, of at most 64 parts of at least 16 rows; weights as f32.
    const Type& x = inputs[0];
    const int64_t width = RoundUp(Last(x), 16), rows = Last(x) == 0 ? 0 : Elements(x) / Last(x);
    workspace.shared += 2 * 4 * width * (1 + std::min<int64_t>(64, rows / 16 + 1));
  }
  if (info.family == "reduction") workspace.shared += ReductionBytes(inputs[0], results[0]);
  if (op == Op::kGlobalNorm) {
    for (const Type& gradient : inputs) workspace.shared += 8 * (1 + Elements(gradient) / (16 << 10));
  }
  return workspace;
}

int64_t WorkspaceBytes(const plan::PlanT& plan, int64_t threads) {
  int64_t most = 0;
  for (const auto& entry : plan.entries) {
    std::vector<Type> types;
    for (const auto& buffer : entry->buffers) types.push_back(TypeOf(*buffer));
    for (const auto& step : entry->steps) {
      std::vector<Type> inputs, results;
      for (uint32_t index : step->inputs) inputs.push_back(types[index]);
      for (uint32_t index : step->results) results.push_back(types[index]);
      most = std::max(
          most, WorkspaceOf(*OpNamed(step->kernel), inputs, results, AttributesOf(*step), plan.target).Bytes(threads));
    }
  }
  return most;
}

int64_t PeakBytes(const plan::PlanT& plan, int64_t threads) {
  return plan.state_bytes + plan.arena_bytes + WorkspaceBytes(plan, threads);
}

}  // namespace gptc
