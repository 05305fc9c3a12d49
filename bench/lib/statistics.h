// Telling a change from noise: order statistics, which ask nothing of how times are distributed.
#ifndef GPTC_BENCH_LIB_STATISTICS_H_
#define GPTC_BENCH_LIB_STATISTICS_H_

#include <vector>

namespace gptc {

// REQUIRES: not empty.
double Median(std::vector<double> values);

// How many times as large `after` is as `before`.
struct RatioInterval {
  double estimate = 1, low = 1, high = 1;
  bool known = false;  // whether there are enough samples for the confidence asked for
};

// The Hodges-Lehmann estimate of a shift between logarithms, and the interval that belongs to the Mann-Whitney U test:
// it holds the true ratio with at least `confidence` (Hollander, Wolfe, Chicken, Nonparametric Statistical Methods,
// 3rd edition 2014, sections 4.2 and 4.3). Exact for up to 20 samples a side, else with the normal approximation.
// Values must be positive. REQUIRES: neither side is empty.
RatioInterval RatioOf(const std::vector<double>& before, const std::vector<double>& after, double confidence);

}  // namespace gptc

#endif  // GPTC_BENCH_LIB_STATISTICS_H_
