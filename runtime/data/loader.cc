#include "runtime/data/loader.h"

#include <algorithm>

#include "ir/base/check.h"
#include "runtime/data/permutation.h"

namespace gptc {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 31;  // of a micro-batch of one rank

int64_t WindowsOf(int64_t tokens, int64_t sequence) { return tokens == 0 ? 0 : (tokens - 1) / sequence; }

Status CheckShape(int64_t batch, int64_t sequence) {
  if (batch < 1 || sequence < 1 || batch > kMostTokens / sequence) {
    return InvalidArgument("a micro-batch of ", batch, " sequences of ", sequence, " tokens is out of range");
  }
  return OkStatus();
}

// T tokens from `first` on and their targets.
Status ReadWindow(const ShardSet& shards, int64_t first, std::span<int32_t> tokens, std::span<int32_t> targets) {
  RETURN_IF_ERROR(shards.Read(first, tokens));
  std::copy(tokens.begin() + 1, tokens.end(), targets.begin());
  return shards.Read(first + static_cast<int64_t>(tokens.size()), targets.last(1));
}

}  // namespace

std::optional<Order> OrderNamed(std::string_view name) {
  if (name == "sequential") return Order::kSequential;
  if (name == "shuffled") return Order::kShuffled;
  return std::nullopt;
}

StatusOr<std::unique_ptr<BatchLoader>> BatchLoader::Create(std::shared_ptr<const ShardSet> shards,
                                                           const LoaderOptions& options) {
  RETURN_IF_ERROR(CheckShape(options.batch, options.sequence));
  if (options.ranks < 1 || options.rank < 0 || options.rank >= options.ranks) {
    return InvalidArgument("rank ", options.rank, " of ", options.ranks, " ranks makes no sense");
  }
  if (options.prefetch < 1) return InvalidArgument("the loader needs room for at least one batch");
  if (options.cursor.windows < 0 || options.cursor.windows > int64_t{1} << 61) {
    return InvalidArgument("the data cursor ", options.cursor.windows, " is out of range");
  }
  const int64_t needed = options.batch * options.ranks;
  if (needed > WindowsOf(shards->tokens(), options.sequence)) {
    return InvalidArgument("the ", shards->split(), " split in '", shards->folder(), "' has ",
                           Grouped(shards->tokens()), " tokens, fewer than the ",
                           Grouped(needed * options.sequence + 1), " of one batch (", options.ranks,
                           options.ranks == 1 ? " rank x " : " ranks x ", options.batch, " sequences x ",
                           options.sequence, " tokens + 1): give more text or a smaller batch");
  }
  return std::unique_ptr<BatchLoader>(new BatchLoader(std::move(shards), options));
}

BatchLoader::BatchLoader(std::shared_ptr<const ShardSet> shards, const LoaderOptions& options)
    : shards_(std::move(shards)),
      options_(options),
      windows_(WindowsOf(shards_->tokens(), options.sequence)),
      cursor_(options.cursor),
      thread_([this] { ReadAhead(); }) {}

BatchLoader::~BatchLoader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status BatchLoader::Next(std::span<int32_t> tokens, std::span<int32_t> targets) {
  const size_t size = static_cast<size_t>(options_.batch * options_.sequence);
  CHECK(tokens.size() == size && targets.size() == size, "the batch has ", size, " tokens");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty(); });
  if (!ready_.front().status.ok()) return ready_.front().status;  // and stays there
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  std::copy(batch.tokens.begin(), batch.tokens.end(), tokens.begin());
  std::copy(batch.targets.begin(), batch.targets.end(), targets.begin());
  first_sequence_ = batch.first_sequence;
  cursor_ = batch.after;
  lock.lock();
  spare_.push_back(std::move(batch));
  return OkStatus();
}

void BatchLoader::ReadAhead() {
  Cursor cursor = options_.cursor;
  for (bool ok = true; ok;) {
    Batch batch;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || ready_.size() < static_cast<size_t>(options_.prefetch); });
      if (stop_) return;
      if (!spare_.empty()) {
        batch = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    Fill(&cursor, &batch);
    ok = batch.status.ok();
    {
      std::lock_guard lock(mutex_);
      ready_.push_back(std::move(batch));
    }
    changed_.notify_all();
  }
}

void BatchLoader::Fill(Cursor* cursor, Batch* batch) const {
  const int64_t global = options_.batch * options_.ranks;
  if (options_.order == Order::kSequential) {
    const int64_t position = cursor->windows % windows_;
    if (position + global > windows_) cursor->windows += windows_ - position;
  }
  batch->first_sequence = cursor->windows + options_.rank * options_.batch;
  const size_t length = static_cast<size_t>(options_.sequence);
  const size_t size = length * static_cast<size_t>(options_.batch);
  batch->tokens.resize(size);
  batch->targets.resize(size);
  batch->status = OkStatus();
  for (size_t row = 0; row < size / length && batch->status.ok(); ++row) {
    const int64_t first = FirstTokenAt(batch->first_sequence + static_cast<int64_t>(row));
    batch->status = ReadWindow(*shards_, first, std::span(batch->tokens).subspan(row * length, length),
                               std::span(batch->targets).subspan(row * length, length));
  }
  cursor->windows += global;
  batch->after = *cursor;
}

int64_t BatchLoader::FirstTokenAt(int64_t position) const {
  const int64_t index = position % windows_;
  if (options_.order == Order::kSequential) return index * options_.sequence;
  const uint64_t epoch = static_cast<uint64_t>(position / windows_), key = EpochKey(options_.seed, epoch);
  const uint64_t window = Permute(static_cast<uint64_t>(index), static_cast<uint64_t>(windows_), key);
  const uint64_t shift = EpochShift(epoch, static_cast<uint64_t>(options_.sequence));
  const uint64_t starts =
      static_cast<uint64_t>(shards_->tokens() - options_.sequence);  // places where a window can begin
  return static_cast<int64_t>((window * static_cast<uint64_t>(options_.sequence) + shift) % starts);
}

StatusOr<EvalWindows> EvalWindows::Create(std::shared_ptr<const ShardSet> shards, int64_t batch, int64_t sequence) {
  RETURN_IF_ERROR(CheckShape(batch, sequence));
  const int64_t windows = WindowsOf(shards->tokens(), sequence);
  if (windows == 0) {
    return InvalidArgument("the ", shards->split(), " split in '", shards->folder(), "' has ",
                           Grouped(shards->tokens()), " tokens, fewer than the ", sequence + 1, " of one window of ",
                           sequence, " tokens and its targets: give more text");
  }
  return EvalWindows(std::move(shards), batch, sequence, windows);
}

StatusOr<int64_t> EvalWindows::Read(int64_t first_window, std::span<int32_t> tokens, std::span<int32_t> targets) const {
  const size_t length = static_cast<size_t>(sequence_);
  CHECK(first_window >= 0 && first_window < windows_, "window ", first_window, " of ", windows_);
  CHECK(tokens.size() == length * static_cast<size_t>(batch_) && targets.size() == tokens.size());
  const int64_t rows = std::min(batch_, windows_ - first_window);
  for (int64_t row = 0; row < rows; ++row) {
    const size_t at = static_cast<size_t>(row) * length;
    RETURN_IF_ERROR(ReadWindow(*shards_, (first_window + row) * sequence_, tokens.subspan(at, length),
                               targets.subspan(at, length)));
  }
  const size_t used = static_cast<size_t>(rows) * length;
  std::fill(tokens.begin() + static_cast<ptrdiff_t>(used), tokens.end(), 0);
  std::fill(targets.begin() + static_cast<ptrdiff_t>(used), targets.end(), -1);
  return rows;
}

}  // namespace gptc
