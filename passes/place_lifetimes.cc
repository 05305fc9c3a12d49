#include "passes/place_lifetimes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace gptc {
namespace {

int64_t Bound(std::span<const Lifetime> lifetimes) {
  std::vector<std::pair<int, int64_t>> events;  // (step, change of bytes alive); what ends at step e leaves at e + 1
  for (const Lifetime& life : lifetimes) {
    events.emplace_back(life.begin, life.bytes);
    events.emplace_back(life.end + 1, -life.bytes);
  }
  std::sort(events.begin(), events.end());
  int64_t alive = 0, most = 0;
  for (const auto& [step, change] : events) most = std::max(most, alive += change);
  return most;
}

// Where no plain order meets the bound: how many more are tried, and how many pairs of blocks they may look at.
constexpr int64_t kMostDraws = 2000, kMostWork = 40'000'000;

struct Placed {
  int64_t offset;
  int64_t bytes;
  int begin, end;
};

// Places in this order; gives up (returns a larger number) as soon as `limit` is reached.
int64_t PlaceInOrder(std::span<const Lifetime> lifetimes, std::span<const int> order, int64_t limit,
                     std::vector<int64_t>& offsets) {
  std::vector<Placed> placed;  // by offset
  placed.reserve(lifetimes.size());
  int64_t peak = 0;
  for (int index : order) {
    const Lifetime& life = lifetimes[index];
    int64_t at = 0;
    for (const Placed& other : placed) {
      if (other.end < life.begin || other.begin > life.end) continue;
      if (other.offset >= at + life.bytes) break;
      at = std::max(at, other.offset + other.bytes);
    }
    offsets[index] = at;
    peak = std::max(peak, at + life.bytes);
    if (peak >= limit) return peak;
    auto where = std::upper_bound(placed.begin(), placed.end(), at,
                                  [](int64_t offset, const Placed& p) { return offset < p.offset; });
    placed.insert(where, {at, life.bytes, life.begin, life.end});
  }
  return peak;
}

}  // namespace

Placement PlaceLifetimes(std::span<const Lifetime> given, int64_t alignment) {
  std::vector<Lifetime> lifetimes(given.begin(), given.end());
  for (Lifetime& life : lifetimes) life.bytes = (life.bytes + alignment - 1) / alignment * alignment;
  Placement best;
  best.lower_bound = Bound(lifetimes);
  best.offsets.resize(lifetimes.size());
  best.peak = INT64_MAX;

  std::vector<int> order(lifetimes.size());
  std::vector<int64_t> offsets(lifetimes.size());
  auto attempt = [&](auto before) {
    if (best.peak == best.lower_bound) return;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), before);
    int64_t peak = PlaceInOrder(lifetimes, order, best.peak, offsets);
    if (peak < best.peak) {
      best.peak = peak;
      best.offsets = offsets;
    }
  };
  auto length = [&](int i) { return static_cast<int64_t>(lifetimes[i].end - lifetimes[i].begin + 1); };
  auto bytes = [&](int i) { return lifetimes[i].bytes; };
  attempt([&](int a, int b) { return bytes(a) != bytes(b) ? bytes(a) > bytes(b) : length(a) > length(b); });
  attempt([&](int a, int b) { return length(a) != length(b) ? length(a) > length(b) : bytes(a) > bytes(b); });
  attempt([&](int a, int b) { return bytes(a) * length(a) > bytes(b) * length(b); });
  attempt([&](int a, int b) { return lifetimes[a].begin < lifetimes[b].begin; });

  // Orders between these, drawn by a generator that is always the same.
  const int64_t count = std::max<int64_t>(1, static_cast<int64_t>(lifetimes.size()));
  std::minstd_rand random(1);
  std::uniform_real_distribution<double> exponent(0, 2), noise(0.5, 1.5);
  std::vector<double> weight(lifetimes.size());
  for (int64_t i = 0; i < std::min<int64_t>(kMostDraws, kMostWork / (count * count)); ++i) {
    if (best.peak == best.lower_bound) break;
    const double power = exponent(random);
    for (int at = 0; at < static_cast<int>(weight.size()); ++at)
      weight[at] = static_cast<double>(bytes(at)) * std::pow(static_cast<double>(length(at)), power) * noise(random);
    attempt([&](int a, int b) { return weight[a] > weight[b]; });
  }
  if (lifetimes.empty()) best.peak = 0;
  return best;
}

}  // namespace gptc
