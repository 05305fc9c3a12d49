// A kernel is bound once and run many times. Binding looks at types, attributes and addresses, does all checking and
// all preparation (oneDNN primitives, strides, chunking), and returns a closure; running does no parsing, no
// allocation, no look-up.
#ifndef GPTC_RUNTIME_EXEC_KERNEL_H_
#define GPTC_RUNTIME_EXEC_KERNEL_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "ir/base/attributes.h"
#include "ir/base/check.h"
#include "ir/base/status.h"
#include "ir/base/type.h"

namespace gptc {

// A dense row-major tensor at a fixed address (64-byte aligned).
struct TensorView {
  Type type;
  void* data = nullptr;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t count() const { return ElementCount(type.shape); }
  size_t bytes() const { return static_cast<size_t>(ByteCount(type)); }
  int rank() const { return static_cast<int>(type.shape.size()); }
  int64_t dim(int axis) const { return type.shape[axis < 0 ? axis + rank() : axis]; }
};

// "f32[3, 4], f32[4]", for messages: of many the first few, and how many more there are.
inline std::string TypesText(std::span<const TensorView> views) {
  constexpr size_t kMost = 8;
  const size_t shown = views.size() > kMost ? kMost - 2 : views.size();
  const std::string text = Join(views.first(shown), ", ", [](const TensorView& view) { return TypeText(view.type); });
  return shown == views.size() ? text : Cat(text, " and ", views.size() - shown, " more");
}

// Scratch shared by all kernels of an executor: requested at binding, allocated once, used by one kernel at a time. A
// kernel may ask for what runtime/plan/workspace.h grants its op and no more: plans promise their peak by that.
class ScratchPool {
 public:
  // A promise of at least `bytes` at run time, at the address that data() then returns. `threads`: how many share it,
  // where it grows with them.
  void Request(size_t bytes, int64_t threads = 1) {
    bytes_ = bytes > bytes_ ? bytes : bytes_;
    asked_ = {bytes > asked_.bytes ? bytes : asked_.bytes, threads > asked_.threads ? threads : asked_.threads};
  }
  size_t bytes() const { return bytes_; }

  // What was asked for since this was called last.
  struct Asked {
    size_t bytes = 0;
    int64_t threads = 1;
  };
  Asked TakeAsked() { return std::exchange(asked_, {}); }

  void* data() const { return data_; }
  void set_data(void* data) { data_ = data; }

 private:
  size_t bytes_ = 0;
  Asked asked_;
  void* data_ = nullptr;
};

class Device;

struct KernelArgs {
  std::span<const TensorView> inputs;
  std::span<const TensorView> results;  // a result may share an input's address where the op table allows it
  const Attributes& attributes;
  ScratchPool& scratch;      // outlives the kernel; its address is known when the kernel runs, not when it is bound
  Device* device = nullptr;  // that it runs on, for kernels that enqueue; outlives the kernel

  const TensorView& input(size_t i) const { return inputs[i]; }
  bool has(size_t i) const { return i < inputs.size(); }
  const TensorView& result(size_t i = 0) const { return results[i]; }
};

using BoundKernel = std::function<void()>;
// Unimplemented where this device has no kernel for these types; the message names types and what is supported.
using KernelFactory = StatusOr<BoundKernel> (*)(const KernelArgs& args);

// "add: no CUDA kernel for (f16[3], f16[3]) -> (f16[3]); supported: f32, bf16, f64 or i32".
inline Status NoKernel(std::string_view device, std::string_view op, const KernelArgs& args,
                       std::string_view supported) {
  return absl::UnimplementedError(Cat(op, ": no ", device, " kernel for (", TypesText(args.inputs), ") -> (",
                                      TypesText(args.results), "); supported: ", supported));
}

// The kernel of an op by the plan's name for it, or null.
using KernelTable = std::function<KernelFactory(std::string_view name)>;

}  // namespace gptc

#endif  // GPTC_RUNTIME_EXEC_KERNEL_H_
