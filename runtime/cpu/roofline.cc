#include "runtime/cpu/roofline.h"

#include <algorithm>

#include "runtime/cpu/ceilings.h"

namespace gptc {
namespace {

constexpr double kGemmSeconds = 0.5, kReadSeconds = 0.08;
// Larger products are no faster, and take longer.
constexpr int64_t kMostTokens = 2048, kMostWidth = 4096;
// What the nearest caches hold, what the last one holds, memory.
constexpr int64_t kLevels[] = {int64_t{1} << 20, int64_t{1} << 24, kBeyondCaches};

}  // namespace

StatusOr<Roofline> MeasureRoofline(const plan::PlanT& plan) {
  const GemmCeilingShape other;
  const int64_t batch = std::clamp(DimensionOf(plan, "B"), int64_t{1}, kMostTokens);
  const int64_t length = std::clamp(DimensionOf(plan, "T"), int64_t{1}, kMostTokens);
  // The logits' product runs at the speed of the others and would take most of the time.
  const GemmCeilingShape shape = {.tokens = std::min(batch * length, kMostTokens),
                                  .width = std::clamp(ConfigInt(plan, "width", other.width), int64_t{1}, kMostWidth),
                                  .layers = 1,
                                  .vocab = 0};
  Roofline roofline;
  ASSIGN_OR_RETURN(roofline.f32_gflops, MeasureGemmGflops(DType::kF32, shape, kGemmSeconds));
  const bool bf16 = std::any_of(plan.entries.begin(), plan.entries.end(), [](const auto& entry) {
    return std::any_of(entry->steps.begin(), entry->steps.end(),
                       [&](const auto& step) { return ComputesIn(*entry, *step) == DType::kBF16; });
  });
  if (bf16) {
    StatusOr<double> rate = MeasureGemmGflops(DType::kBF16, shape, kGemmSeconds);
    if (!rate.ok() && !absl::IsUnimplemented(rate.status())) return rate.status();
    roofline.bf16_gflops = rate.value_or(0);
  }
  for (int64_t bytes : kLevels) {
    ASSIGN_OR_RETURN(const double read, MeasureReadGBps(kReadSeconds, bytes));
    ASSIGN_OR_RETURN(const double update, MeasureUpdateGBps(kReadSeconds, bytes));
    roofline.levels.push_back({bytes, read, update});
  }
  return roofline;
}

}  // namespace gptc
