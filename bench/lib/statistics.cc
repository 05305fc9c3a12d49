#include "bench/lib/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gptc {
namespace {

constexpr int64_t kExact = 20;

// How many of the orders of n and m samples give the Mann-Whitney statistic u: the coefficients of the Gaussian
// binomial coefficient (n + m over n).
std::vector<double> StatisticCounts(int64_t n, int64_t m) {
  std::vector<double> counts(static_cast<size_t>(n * m + 1));
  counts[0] = 1;
  const int64_t size = n * m + 1;
  for (int64_t i = 1; i <= n; ++i) {
    for (int64_t u = size - 1; u >= m + i; --u) counts[u] -= counts[u - m - i];  // times 1 - x^(m+i)
    for (int64_t u = i; u < size; ++u) counts[u] += counts[u - i];               // over 1 - x^i
  }
  return counts;
}

// The standard normal's quantile, by bisection of its distribution.
double NormalQuantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 80; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

// The largest k with P(U < k) <= (1 - confidence) / 2: so many differences may be cut off at either end.
int64_t DifferencesToCut(int64_t n, int64_t m, double confidence) {
  const double tail = (1 - confidence) / 2;
  const double pairs = static_cast<double>(n * m);
  if (n > kExact || m > kExact) {
    const double deviation = std::sqrt(pairs * static_cast<double>(n + m + 1) / 12);
    return static_cast<int64_t>(std::floor(pairs / 2 + NormalQuantile(tail) * deviation));
  }
  const std::vector<double> counts = StatisticCounts(n, m);
  double all = 0, below = 0;
  for (double count : counts) all += count;
  int64_t k = 0;
  while (k < n * m && (below + counts[k]) / all <= tail) below += counts[k++];
  return k;
}

}  // namespace

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

RatioInterval RatioOf(const std::vector<double>& before, const std::vector<double>& after, double confidence) {
  std::vector<double> differences;
  for (double b : before) {
    for (double a : after) differences.push_back(std::log(a) - std::log(b));
  }
  RatioInterval ratio{.estimate = std::exp(Median(differences))};
  const int64_t cut =
      DifferencesToCut(static_cast<int64_t>(before.size()), static_cast<int64_t>(after.size()), confidence);
  if (cut < 1) {
    ratio.low = ratio.high = ratio.estimate;
    return ratio;
  }
  std::sort(differences.begin(), differences.end());
  ratio.low = std::exp(differences[static_cast<size_t>(cut - 1)]);
  ratio.high = std::exp(differences[differences.size() - static_cast<size_t>(cut)]);
  ratio.known = true;
  return ratio;
}

}  // namespace gptc
