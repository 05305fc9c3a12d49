#include "runtime/plan/cuda_workspace.h"

#include <algorithm>

#include "ir/base/fused_region.h"
#include "runtime/plan/generated.h"

namespace gptc {
namespace {

constexpr int64_t kSmall = 256 << 10;    // what any kernel may take without being asked what for
constexpr int64_t kProducts = 32 << 20;  // cuBLASLt's, by its own advice for Hopper
constexpr int64_t kPartials = 4 * 160;   // parts of sums over rows: blocks that fill the largest chip

int64_t Elements(const Type& type) { return ElementCount(type.shape); }
int64_t Last(const Type& type) { return type.shape.empty() ? 1 : type.shape.back(); }

// What the generated kernel of a region asks for.
int64_t FusedBytes(std::span<const Type> operands, const Attributes& attributes) {
  const auto region = ParseFusedRegion(attributes.Str("region"), static_cast<int>(operands.size()));
  if (!region.ok()) return 0;
  const auto types = InferFusedRegion(*region, operands);
  return types.ok() ? FusedPartsOf(*types).bytes : 0;
}

}  // namespace

int64_t CudaWorkspaceBytes(Op op, std::span<const Type> inputs, std::span<const Type> results,
                           const Attributes& attributes) {
  const OpInfo& info = InfoOf(op);
  if (info.execution == Execution::kView) return 0;
  int64_t bytes = kSmall;
  if (info.family == "matmul" || info.family == "linear") bytes += kProducts;
  if (op == Op::kFused) bytes += FusedBytes(inputs, attributes);
  if (info.family == "norm" || op == Op::kLinearGeluBackward || op == Op::kLinearWeightGradient) {
    // Sums over rows of up to two weights' gradients.
    int64_t columns = 0;
    for (const Type& result : results) columns = std::max(columns, Last(result));
    bytes += 2 * kPartials * 4 * columns;
  }
  if (info.family == "reduction") {
    const int64_t x = Elements(inputs[0]), y = Elements(results[0]);
    bytes += 8 * (y + std::min(x / 16, kPartials * y));
  }
  if (op == Op::kFlashAttentionBackward) {
    // Row sums of dy·y, and the queries' gradient in f32.
    bytes += 4 * Elements(inputs[3]) + 4 * Elements(inputs[0]);
  }
  if (op == Op::kCachedAttention) {
    // Parts of divided keys: of at most 128 blocks of four queries of one head, with two sums each.
    bytes += 4 * 128 * 4 * (Last(inputs[0]) / attributes.Int("heads") + 2);
  }
  if (op == Op::kEmbeddingBackward) {
    const int64_t ids = Elements(inputs[0]), rows = results[0].shape[0], width = Last(results[0]);
    bytes += 16 * (ids + rows) + 4 * width * (ids / 32 + 1);
  }
  if (op == Op::kGlobalNorm) {
    for (const Type& gradient : inputs) bytes += 64 + 8 * (1 + Elements(gradient) / (16 << 10));
  }
  return bytes;
}

}  // namespace gptc
