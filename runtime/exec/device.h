// Where a plan runs: memory, kernels, and the order in which they are executed.
#ifndef GPTC_RUNTIME_EXEC_DEVICE_H_
#define GPTC_RUNTIME_EXEC_DEVICE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/status.h"
#include "runtime/exec/kernel.h"
#include "runtime/exec/region.h"
#include "runtime/exec/roofline.h"
#include "runtime/plan/plan.h"

namespace gptc {

// What timing the algorithms for one product gave, or the ways to one op's results.
struct ProductTiming {
  std::string name;
  double flops = 0;
  double default_seconds = 0, best_seconds = 0;  // of the library's own choice (the first way), and of the fastest
  int algorithms = 0;
  struct Way {
    std::string name;
    double seconds = 0;
  };
  std::vector<Way> ways;  // each with its fastest algorithm; empty for a product
};

// Work in the order in which it is to be done: closures that a device executes on the spot or enqueues. Some are empty
// (views).
using WorkList = std::vector<BoundKernel>;

class Device {
 public:
  virtual ~Device() = default;

  // "cpu", "NVIDIA H200".
  virtual std::string name() const = 0;
  virtual KernelFactory Kernel(std::string_view op) const = 0;
  // Called once before kernels are bound: takes the kernels that a plan brings along.
  virtual Status LoadKernels(const plan::PlanT& /*plan*/) { return OkStatus(); }

  // Zeroed memory of the device. `what` names it in the error: OutOfMemory with the numbers.
  virtual StatusOr<Region> Allocate(size_t bytes, std::string_view what) = 0;
  // Memory of the host from which copies are fast; zeroed.
  virtual StatusOr<Region> AllocateHost(size_t bytes, std::string_view what) = 0;
  // Bytes that Allocate could give now; -1 where it is not known.
  virtual int64_t AvailableMemory() const = 0;
  // Whether the host reads and writes the device's memory itself.
  virtual bool SharesMemoryWithHost() const = 0;

  // Each enqueues: what it reads must stay as it is until a wait for what comes behind it.
  virtual void Copy(void* to, const void* from, size_t bytes) = 0;  // between any two memories
  virtual void Fill(void* to, unsigned char byte, size_t bytes) = 0;
  // `work` as one thing that can be run again and again: recorded once where the device can do that.
  virtual StatusOr<BoundKernel> Record(WorkList work) = 0;
  // Waits for all that was enqueued. Errors: the device's, which it does not recover from.
  virtual Status Synchronize() = 0;
  // Whether enqueued work goes on while the host does something else.
  virtual bool WorksBesideHost() const { return false; }
  // A place behind all that was enqueued so far, and the wait for what lies before it. Errors: as Synchronize()'s.
  using Mark = uint64_t;
  virtual Mark SetMark() { return 0; }
  virtual Status Await(Mark /*mark*/) { return Synchronize(); }

  // Runs `work` once, waits, and says when each item began, in seconds from the first's begin, and how long it took.
  struct Span {
    double begin = 0, seconds = 0;
  };
  virtual Status RunTimed(const WorkList& work, std::vector<Span>& times) = 0;

  // What the device can do at best, measured at the shapes of the plan's model.
  virtual StatusOr<Roofline> MeasureCeilings(const plan::PlanT& /*plan*/) {
    return absl::UnimplementedError(Cat("nothing measures the ceilings of ", name()));
  }
  // Times the algorithms of every product bound so far, then the ways of every op that has several, on the memory that
  // they were bound to, and keeps the fastest for executors to come, in this process and in others. Calls
  // report(timing) after each.
  virtual Status Tune(const std::function<void(const ProductTiming&)>& /*report*/) {
    return FailedPrecondition(name(), " has nothing to tune: its products know one algorithm each");
  }
};

// The machine that the program runs on, with these kernels.
class HostDevice : public Device {
 public:
  explicit HostDevice(KernelTable kernels) : kernels_(std::move(kernels)) {}

  std::string name() const override { return "cpu"; }
  KernelFactory Kernel(std::string_view op) const override { return kernels_(op); }
  StatusOr<Region> Allocate(size_t bytes, std::string_view what) override { return Region::Allocate(bytes, what); }
  StatusOr<Region> AllocateHost(size_t bytes, std::string_view what) override { return Region::Allocate(bytes, what); }
  int64_t AvailableMemory() const override;
  bool SharesMemoryWithHost() const override { return true; }
  void Copy(void* to, const void* from, size_t bytes) override;
  void Fill(void* to, unsigned char byte, size_t bytes) override;
  StatusOr<BoundKernel> Record(WorkList work) override;
  Status Synchronize() override { return OkStatus(); }
  Status RunTimed(const WorkList& work, std::vector<Span>& times) override;

 private:
  KernelTable kernels_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_DEVICE_H_
