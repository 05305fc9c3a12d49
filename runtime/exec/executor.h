// Binds a plan's entry points to memory and kernels once, and runs them many times.
#ifndef GPTC_RUNTIME_EXEC_EXECUTOR_H_
#define GPTC_RUNTIME_EXEC_EXECUTOR_H_

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/exec/kernel.h"
#include "runtime/exec/region.h"
#include "runtime/plan/plan.h"

namespace gptc {

struct ExecutorOptions {
  // Entry points to bind; empty: all.
  std::vector<std::string> entries;
  // Debugging: every value lies in memory of its own, poisoned with NaNs before each run. A plan must give the same
  // results.
  bool isolate = false;
};

// When a step began and how long it took.
struct StepTime {
  std::chrono::steady_clock::time_point begin;
  double seconds = 0;
};

// One entry point, bound. Inputs are written by the caller before every run (a run may write over them); outputs stay
// until the next run of any entry point of the executor.
class BoundEntry {
 public:
  // The port's tensor. REQUIRES: there is one of that name, which the caller has checked or the entry's meaning
  // guarantees.
  TensorView input(std::string_view name) const;
  TensorView output(std::string_view name) const;
  bool has_input(std::string_view name) const;

  void Run();
  // The same, with the times of this run: one element a step, views among them.
  void RunTimed(std::vector<StepTime>& times);
  const plan::EntryT& plan() const { return *plan_; }

 private:
  friend class Executor;
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
  };
  void Poison();
  void Finish();

  const plan::EntryT* plan_ = nullptr;
  std::vector<TensorView> buffers_;
  std::vector<BoundKernel> kernels_;  // one a step; views have none
  std::vector<Copy> stores_;
  std::vector<Copy> poison_;  // isolate: where and how much
  std::vector<Region> isolated_;
};

class Executor {
 public:
  // The plan must outlive the executor. Errors: every kernel that the device lacks, all at once; OutOfMemory with the
  // numbers where the machine has too little.
  static StatusOr<std::unique_ptr<Executor>> Create(const plan::PlanT& plan, const KernelTable& kernels,
                                                    const ExecutorOptions& options = {});

  // Null where the plan has no such entry point, or it was not bound.
  BoundEntry* entry(std::string_view name);
  // Runs an entry point that may be missing or empty (prepare).
  void RunIfPresent(std::string_view name);

  TensorView state(int index) const;
  // Where a run of these entry points reads and writes; pages of other memory are never touched. Parts may meet.
  std::vector<std::span<std::byte>> MemoryOf(std::span<const std::string> entries) const;
  const plan::PlanT& plan() const { return plan_; }
  // Scratch that the kernels asked for, beyond the plan's states and arena.
  size_t scratch_bytes() const { return scratch_.bytes(); }

 private:
  explicit Executor(const plan::PlanT& plan) : plan_(plan) {}
  Status CheckMemory(const ExecutorOptions& options) const;
  Status Bind(const plan::EntryT& entry, const KernelTable& kernels, bool isolate, std::vector<std::string>& missing);

  const plan::PlanT& plan_;
  Region states_, arena_, scratch_memory_;
  ScratchPool scratch_;
  std::vector<std::unique_ptr<BoundEntry>> entries_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_EXECUTOR_H_
