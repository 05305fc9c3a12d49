#include "runtime/train/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace gptc {
namespace {
constexpr std::array<std::string_view, 4> kNames = {"cosine", "linear", "constant", "wsd"};
}

StatusOr<ScheduleKind> ScheduleNamed(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<ScheduleKind>(i);
  }
  std::vector<std::string> names(kNames.begin(), kNames.end());
  std::string nearest = Nearest(name, names);
  return UsageError("--schedule: there is no '", name, "'", nearest.empty() ? "" : Cat("; did you mean ", nearest, "?"),
                    " (", Join(kNames, ", "), ")");
}

std::string_view NameOf(ScheduleKind kind) { return kNames[static_cast<size_t>(kind)]; }

Status CheckSchedule(const Schedule& schedule) {
  if (!std::isfinite(schedule.lr) || schedule.lr < 0)
    return UsageError("--lr must be a finite number of at least 0, not ", schedule.lr);
  if (!(schedule.floor >= 0 && schedule.floor <= schedule.lr)) {
    return UsageError("--min-lr must lie between 0 and --lr (", schedule.lr, "), not ", schedule.floor);
  }
  if (schedule.warmup < 0) return UsageError("--warmup must be at least 0, not ", schedule.warmup);
  if (schedule.decay_steps < 0) return UsageError("--decay-steps must be at least 0, not ", schedule.decay_steps);
  return OkStatus();
}

double LearningRate(const Schedule& schedule, int64_t step) {
  const double lr = schedule.lr, floor = schedule.floor;
  const int64_t s = step - 1, warmup = schedule.warmup, end = schedule.decay_steps;
  if (s < warmup) return lr * static_cast<double>(s + 1) / static_cast<double>(warmup);
  if (schedule.kind == ScheduleKind::kConstant) return lr;
  if (s >= end) return floor;
  const double progress = static_cast<double>(s - warmup) / static_cast<double>(end - warmup);
  switch (schedule.kind) {
    case ScheduleKind::kCosine:
      return floor + 0.5 * (1 + std::cos(std::numbers::pi * progress)) * (lr - floor);
    case ScheduleKind::kLinear:
      return floor + (1 - progress) * (lr - floor);
    default:
      break;
  }
  const double start = std::max(static_cast<double>(warmup), 0.8 * static_cast<double>(end));
  if (static_cast<double>(s) <= start) return lr;
  return floor + (1 - std::sqrt((static_cast<double>(s) - start) / (static_cast<double>(end) - start))) * (lr - floor);
}

}  // namespace gptc
