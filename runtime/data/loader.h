// Batches of tokens for training and evaluation.
//
// The tokens of a split are cut into windows: window w is the T tokens from w*T on, with the T tokens from w*T + 1 on
// as their targets, so N tokens make W = (N - 1) / T windows. A global micro-batch is R*B consecutive windows of the
// order (R ranks, B sequences a rank); rank r takes its r-th B. So the order does not depend on R, and a run may go on
// with another number of ranks.
//
// sequential: windows in their order. A global micro-batch is a contiguous row of tokens: where fewer than R*B windows
// are
//   left before the end, what is left is skipped and the next starts at window 0.
// shuffled: epoch e visits all W windows once, in the order Permute(i, W, EpochKey(seed, e)) (permutation.h); a
//   micro-batch may span two epochs. From the second epoch on the windows begin EpochShift(e, T) tokens later, around
//   the end of the text to its beginning.
#ifndef GPTC_RUNTIME_DATA_LOADER_H_
#define GPTC_RUNTIME_DATA_LOADER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "ir/base/status.h"
#include "runtime/data/shards.h"

namespace gptc {

enum class Order { kSequential, kShuffled };
// "sequential" or "shuffled".
std::optional<Order> OrderNamed(std::string_view name);

// How far training has come in its data: windows passed since its start, by all ranks together, those that sequential
// order skipped included. windows / W is the epoch.
struct Cursor {
  int64_t windows = 0;
};

struct LoaderOptions {
  int64_t batch = 0;     // B: sequences a rank and micro-batch
  int64_t sequence = 0;  // T: tokens a sequence
  Order order = Order::kShuffled;
  uint64_t seed = 0;  // of the shuffled order
  int rank = 0;
  int ranks = 1;
  Cursor cursor;     // where to go on
  int prefetch = 4;  // batches that may wait ready
};

// Micro-batches without end. A thread reads ahead; Next and the rest are for one thread.
class BatchLoader {
 public:
  // InvalidArgument where the options make no sense or the split holds less than one global micro-batch (the message
  // has the numbers).
  static StatusOr<std::unique_ptr<BatchLoader>> Create(std::shared_ptr<const ShardSet> shards,
                                                       const LoaderOptions& options);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // The next micro-batch of this rank: B*T tokens and B*T targets, row-major [B, T]. After an error of reading (a token
  // outside the vocabulary) each further call gives that error.
  // REQUIRES: both spans have B*T elements.
  Status Next(std::span<int32_t> tokens, std::span<int32_t> targets);

  // Behind the micro-batches that Next has given; what is only read ahead does not count.
  Cursor cursor() const { return cursor_; }
  // The number, in the order of all ranks since the start of training, of the first sequence of the micro-batch that
  // Next gave last: its B sequences are numbered from here.
  int64_t first_sequence() const { return first_sequence_; }
  int64_t windows_per_epoch() const { return windows_; }

 private:
  struct Batch {
    Status status;
    std::vector<int32_t> tokens, targets;
    int64_t first_sequence = 0;
    Cursor after;
  };

  BatchLoader(std::shared_ptr<const ShardSet> shards, const LoaderOptions& options);
  void ReadAhead();
  // Reads the micro-batch at the cursor and moves the cursor behind it.
  void Fill(Cursor* cursor, Batch* batch) const;
  // The first token of the window at this place of the order.
  int64_t FirstTokenAt(int64_t position) const;

  const std::shared_ptr<const ShardSet> shards_;
  const LoaderOptions options_;
  const int64_t windows_;  // W
  Cursor cursor_;
  int64_t first_sequence_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;   // guarded by mutex_
  std::vector<Batch> spare_;  // their memory, used again; guarded by mutex_
  bool stop_ = false;         // guarded by mutex_
  std::thread thread_;        // last: it uses all of the above
};

// Every full window of a split in order, for evaluation.
class EvalWindows {
 public:
  // InvalidArgument where there is not one full window of `sequence` tokens.
  static StatusOr<EvalWindows> Create(std::shared_ptr<const ShardSet> shards, int64_t batch, int64_t sequence);

  int64_t windows() const { return windows_; }
  // How many batches hold them, the last perhaps in part.
  int64_t batches() const { return (windows_ + batch_ - 1) / batch_; }
  // The windows from first_window on: [B, T] tokens and targets, rows past the last window filled with token 0 and
  // target -1, which the loss ignores. Gives how many rows are windows. REQUIRES: 0 <= first_window < windows(), both
  // spans have B*T elements.
  StatusOr<int64_t> Read(int64_t first_window, std::span<int32_t> tokens, std::span<int32_t> targets) const;

 private:
  EvalWindows(std::shared_ptr<const ShardSet> shards, int64_t batch, int64_t sequence, int64_t windows)
      : shards_(std::move(shards)), batch_(batch), sequence_(sequence), windows_(windows) {}
  std::shared_ptr<const ShardSet> shards_;
  int64_t batch_, sequence_, windows_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_DATA_LOADER_H_
