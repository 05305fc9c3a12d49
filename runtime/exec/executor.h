// Binds a plan's entry points to memory and kernels of a device once, and runs them many times.
#ifndef GPTC_RUNTIME_EXEC_EXECUTOR_H_
#define GPTC_RUNTIME_EXEC_EXECUTOR_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/exec/device.h"
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

// One entry point, bound. Inputs are written by the caller before every run (a run may write over them); outputs stay
// until the next run of any entry point of the executor.
class BoundEntry {
 public:
  // The port's tensor, in the host's memory: of the next run, of the last one. REQUIRES: there is one of that name,
  // which the caller has checked or the entry's meaning guarantees.
  TensorView input(std::string_view name) const;
  TensorView output(std::string_view name) const;
  bool has_input(std::string_view name) const;

  // Runs all steps and waits for the outputs. Errors: the device's, which it does not recover from.
  Status Run();

  // A run that the device goes on with by itself, where it can (Device::WorksBesideHost). Each has places of its own
  // for inputs, the step's scalars and outputs, of which an entry has two: after Start() input() is another tensor.
  struct Started {
    size_t place = 0;
    Device::Mark mark = 0;
  };
  // REQUIRES: CanStart(): one of the places is free.
  Started Start();
  bool CanStart() const;
  // Waits until the run is done and frees its place; its outputs stay until that is used again.
  Status Wait(const Started& run);
  TensorView output(const Started& run, std::string_view name) const;
  // Runs the steps that lead to the states which the entry stores, and no others: its outputs are not computed.
  Status RunForStates();
  // All steps, with the times of this run: one element a step, views among them.
  Status RunTimed(std::vector<Device::Span>& times);
  const plan::EntryT& plan() const { return *plan_; }

 private:
  friend class Executor;
  // The caller's side of a run.
  struct Place {
    std::vector<TensorView> inputs, outputs;  // a port each, on the host
    TensorView scalars;                       // what the device's are copied from; no address where nothing is copied
    bool taken = false;
  };
  WorkList All(WorkList steps) const;
  TensorView BufferOf(const plan::PortT& port) const { return buffers_[port.buffer]; }
  void CopyIn(const Place& place) const;
  void CopyOut(const Place& place) const;

  const plan::EntryT* plan_ = nullptr;
  Device* device_ = nullptr;
  std::vector<TensorView> buffers_;  // on the device
  std::vector<Place> places_;
  size_t next_ = 0;                      // the place of the next run
  TensorView scalars_;                   // the device's
  const Region* new_scalars_ = nullptr;  // the executor's, on the host
  WorkList before_, steps_, after_;      // poison; one a step of the plan; stores
  BoundKernel run_;                      // all of them
  BoundKernel run_for_states_;           // recorded when it is first asked for
  std::vector<Region> isolated_, ports_;
};

class Executor {
 public:
  // The plan and the device must outlive the executor. Errors: every kernel that the device lacks, all at once;
  // OutOfMemory with the numbers where the device has too little.
  static StatusOr<std::unique_ptr<Executor>> Create(const plan::PlanT& plan, Device& device,
                                                    const ExecutorOptions& options = {});
  // On the host, with these kernels.
  static StatusOr<std::unique_ptr<Executor>> Create(const plan::PlanT& plan, const KernelTable& kernels,
                                                    const ExecutorOptions& options = {});

  // Null where the plan has no such entry point, or it was not bound.
  BoundEntry* entry(std::string_view name);
  // Runs an entry point that may be missing or empty (prepare).
  Status RunIfPresent(std::string_view name);

  // The state where it lies. Its memory is the device's: hosts that do not share it go by the two below.
  TensorView state(int index) const;
  // Calls fill(view) with a tensor in host memory, all of which it writes, and puts that into the state.
  Status WriteState(int index, const std::function<Status(const TensorView&)>& fill);
  // Calls use(view) with the state's content in host memory, valid during the call.
  Status ReadState(int index, const std::function<Status(const TensorView&)>& use) const;
  // A run-time scalar (ir/base/scalars.h), for the runs that follow. Nothing where the plan has none.
  void SetScalar(int scalar, double value);

  // Where a run of these entry points reads and writes in the host's memory; pages of other memory are never touched.
  // Parts may meet. Nothing where the device has memory of its own.
  std::vector<std::span<std::byte>> MemoryOf(std::span<const std::string> entries) const;
  const plan::PlanT& plan() const { return plan_; }
  Device& device() const { return *device_; }
  // Scratch that the kernels asked for, beyond the plan's states and arena.
  size_t scratch_bytes() const { return scratch_.bytes(); }

 private:
  Executor(const plan::PlanT& plan, Device& device) : plan_(plan), device_(&device) {}
  Status Build(const ExecutorOptions& options);
  Status CheckMemory(const ExecutorOptions& options) const;
  Status Bind(const plan::EntryT& entry, bool isolate, std::vector<std::string>& missing);
  Status BindPorts(BoundEntry& bound);

  const plan::PlanT& plan_;
  std::unique_ptr<Device> owned_;
  Device* device_;
  Region states_, arena_, scratch_memory_, scalars_;
  ScratchPool scratch_;
  std::vector<std::unique_ptr<BoundEntry>> entries_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_EXECUTOR_H_
