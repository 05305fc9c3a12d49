// Learning-rate schedules, in double.
//
// With s = step - 1 (steps count from 1), W warmup steps, M decay steps, floor and peak `lr`:
//   warmup    s < W:  lr · (s + 1) / W
//   cosine            floor + ½ (1 + cos(π (s - W) / (M - W))) (lr - floor)      (Loshchilov & Hutter 2017)
//   linear            floor + (1 - (s - W) / (M - W)) (lr - floor)
//   constant          lr
//   wsd               lr until D = max(W, 0.8 M), then floor + (1 - √((s - D) / (M - D))) (lr - floor)   (Hägele et al.
//   2024)
// From s = M on all but constant stay at the floor.
#ifndef GPTC_RUNTIME_TRAIN_SCHEDULE_H_
#define GPTC_RUNTIME_TRAIN_SCHEDULE_H_

#include <cstdint>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

enum class ScheduleKind { kCosine, kLinear, kConstant, kWsd };

struct Schedule {
  ScheduleKind kind = ScheduleKind::kCosine;
  double lr = 6e-4;
  double floor = 0;
  int64_t warmup = 0;
  int64_t decay_steps = 1000;
};

// "cosine", "linear", "constant" or "wsd"; anything else is a usage error that names --schedule.
StatusOr<ScheduleKind> ScheduleNamed(std::string_view name);
std::string_view NameOf(ScheduleKind kind);

// A usage error that names the flag where a value is out of range: lr finite and >= 0, floor in [0, lr], steps not
// negative.
Status CheckSchedule(const Schedule& schedule);

// The rate that step `step` (>= 1) applies.
double LearningRate(const Schedule& schedule, int64_t step);

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_SCHEDULE_H_
