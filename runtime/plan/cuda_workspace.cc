#include "runtime/plan/cuda_workspace.h"

#include <algorithm>

namespace gptc {
namespace {

constexpr int64_t kSmall = 256 << 10;    // what any kernel may take without being asked what for
constexpr int64_t kProducts = 32 << 20;  // cuBLASLt's, by its own advice for Hopper
constexpr int64_t kPartials = 4 * 160;   // parts of sums over rows: blocks that fill the largest chip

int64_t Elements(const Type& type) { return ElementCount(type.shape); }
int64_t Last(const Type& type) { return type.shape.empty() ? 1 : type.shape.back(); }

}  // namespace

int64_t CudaWorkspaceBytes(Op op, std::span<const Type> inputs, std::span<const Type> results, const Attributes&) {
  const OpInfo& info = InfoOf(op);
  if (info.execution == Execution::kView) return 0;
  int64_t bytes = kSmall;
  if (info.family == "matmul" || info.family == "linear") bytes += kProducts;
  if (info.family == "norm" || op == Op::kFused || op == Op::kLinearGeluBackward) {
    // Sums over rows of up to two weights' gradients (of the columns that a fused region totals).
    int64_t columns = 0;
    for (const Type& result : results) columns = std::max(columns, Last(result));
    bytes += 2 * kPartials * 4 * columns * (op == Op::kFused ? static_cast<int64_t>(results.size()) : 1);
  }
  if (info.family == "reduction") {
    const int64_t x = Elements(inputs[0]), y = Elements(results[0]);
    bytes += 8 * (y + std::min(x / 16, kPartials * y));
  }
  if (op == Op::kFlashAttentionBackward) {
    // Row sums of dy·y, and the queries' gradient in f32.
    bytes += 4 * Elements(inputs[3]) + 4 * Elements(inputs[0]);
  }
  if (op == Op::kCachedAttention) bytes += 4 * 64 * (Elements(inputs[0]) + 2 * Elements(inputs[0]));
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
