// A hash map from pairs of token ids to a 32-bit number: open addressing in one array, as encoding asks it once a byte.
#ifndef GPTC_RUNTIME_DATA_TOKENIZER_PAIR_MAP_H_
#define GPTC_RUNTIME_DATA_TOKENIZER_PAIR_MAP_H_

#include <bit>
#include <cstdint>
#include <vector>

namespace gptc {

class PairMap {
 public:
  // Room for `count` pairs; it does not grow.
  explicit PairMap(size_t count = 0) : slots_(std::bit_ceil(2 * count + 2)) {}

  // `left` and `right` are not negative. A pair that is there already takes the new value.
  void Set(int32_t left, int32_t right, int32_t value) {
    Slot& slot = slots_[Find(Key(left, right))];
    slot = {Key(left, right), value};
  }
  // -1 where the pair is not there.
  int32_t Get(int32_t left, int32_t right) const {
    const Slot& slot = slots_[Find(Key(left, right))];
    return slot.key == 0 ? -1 : slot.value;
  }

 private:
  struct Slot {
    uint64_t key = 0;  // 0: free
    int32_t value = 0;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right)) + 1;
  }
  size_t Find(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = (key * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (slots_[at].key != 0 && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }
  std::vector<Slot> slots_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_TOKENIZER_PAIR_MAP_H_
