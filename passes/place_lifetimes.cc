#include "passes/place_lifetimes.h"

#include <algorithm>
#include <numeric>

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

// Pairs of blocks that the local search may look at; beyond some thousand blocks it is left out.
constexpr int64_t kMostWork = 40'000'000;

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

  // Local search: what reaches the top goes first, again and again.
  const auto count = static_cast<int64_t>(lifetimes.size());
  const int64_t tries = std::min<int64_t>(200, kMostWork / std::max<int64_t>(1, count * count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return best.offsets[a] < best.offsets[b]; });
  for (int64_t i = 0; i < tries && best.peak > best.lower_bound; ++i) {
    const int64_t peak = PlaceInOrder(lifetimes, order, INT64_MAX, offsets);
    if (peak < best.peak) {
      best.peak = peak;
      best.offsets = offsets;
    }
    const auto top = std::find_if(order.begin(), order.end(), [&](int at) { return offsets[at] + bytes(at) == peak; });
    std::rotate(order.begin(), top, top + 1);
  }
  if (lifetimes.empty()) best.peak = 0;
  return best;
}

}  // namespace gptc
