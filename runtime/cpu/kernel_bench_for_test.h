// What the kernels' own tests share: tensors with guards around them, and a fixture for every instruction set.
#ifndef GPTC_RUNTIME_CPU_KERNEL_BENCH_FOR_TEST_H_
#define GPTC_RUNTIME_CPU_KERNEL_BENCH_FOR_TEST_H_

#include <gtest/gtest.h>
#include <omp.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hwy/aligned_allocator.h"
#include "hwy/targets.h"
#include "ir/base/op_table.h"
#include "runtime/cpu/kernels.h"

namespace gptc {

using Numbers = std::vector<double>;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class Bench {
 public:
  TensorView Make(DType dtype, Shape shape) {
    TensorView view{{dtype, std::move(shape)}, nullptr};
    buffers_.push_back(hwy::AllocateAligned<uint8_t>(view.bytes() + 64));
    view.data = buffers_.back().get();
    // All bits set: a NaN in every floating-point type, -1 in the integers.
    std::memset(view.data, 0xff, view.bytes() + 64);
    return view;
  }
  TensorView Make(DType dtype, Shape shape, const Numbers& values) {
    TensorView view = Make(dtype, std::move(shape));
    for (size_t i = 0; i < values.size(); ++i) Set(view, i, values[i]);
    return view;
  }
  TensorView Random(DType dtype, Shape shape, double scale = 1) {
    TensorView view = Make(dtype, std::move(shape));
    std::normal_distribution<double> normal(0, scale);
    for (int64_t i = 0; i < view.count(); ++i) Set(view, i, normal(random_));
    return view;
  }
  static void Set(const TensorView& view, int64_t i, double value) {
    switch (view.type.dtype) {
      case DType::kF32:
        view.as<float>()[i] = static_cast<float>(value);
        break;
      case DType::kBF16:
        view.as<uint16_t>()[i] = Bf16FromFloat(static_cast<float>(value));
        break;
      case DType::kF16:
        view.as<uint16_t>()[i] = F16FromFloat(static_cast<float>(value));
        break;
      default:
        view.as<int32_t>()[i] = static_cast<int32_t>(value);
        break;
    }
  }
  static Numbers Read(const TensorView& view) {
    Numbers values(view.count());
    for (int64_t i = 0; i < view.count(); ++i) {
      switch (view.type.dtype) {
        case DType::kF32:
          values[i] = view.as<float>()[i];
          break;
        case DType::kBF16:
          values[i] = FloatFromBf16(view.as<uint16_t>()[i]);
          break;
        case DType::kF16:
          values[i] = FloatFromF16(view.as<uint16_t>()[i]);
          break;
        default:
          values[i] = view.as<int32_t>()[i];
          break;
      }
    }
    return values;
  }
  Status TryRun(std::string_view op, std::vector<TensorView> inputs, std::vector<TensorView> results,
                Attributes attributes = {}) {
    ScratchPool scratch;
    KernelFactory factory = CpuKernel(op);
    if (factory == nullptr) return NotFound("no kernel ", op);
    EXPECT_TRUE(CompleteAttributes(InfoOf(*OpNamed(op)), attributes).ok()) << op;
    StatusOr<BoundKernel> kernel = factory(KernelArgs{inputs, results, attributes, scratch});
    if (!kernel.ok()) return kernel.status();
    auto memory = hwy::AllocateAligned<uint8_t>(scratch.bytes() + 64);
    std::memset(memory.get(), 0xff, scratch.bytes() + 64);
    scratch.set_data(memory.get());
    (*kernel)();
    (*kernel)();  // a second run of the same gives the same, unless it works in place
    return OkStatus();
  }
  void Run(std::string_view op, std::vector<TensorView> inputs, std::vector<TensorView> results,
           Attributes attributes = {}) {
    Status status = TryRun(op, inputs, results, std::move(attributes));
    ASSERT_TRUE(status.ok()) << status;
  }
  // Once only, for kernels that work in place.
  void RunOnce(std::string_view op, std::vector<TensorView> inputs, std::vector<TensorView> results,
               Attributes attributes = {}) {
    ScratchPool scratch;
    EXPECT_TRUE(CompleteAttributes(InfoOf(*OpNamed(op)), attributes).ok()) << op;
    StatusOr<BoundKernel> kernel = CpuKernel(op)(KernelArgs{inputs, results, attributes, scratch});
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    auto memory = hwy::AllocateAligned<uint8_t>(scratch.bytes() + 64);
    std::memset(memory.get(), 0xff, scratch.bytes() + 64);
    scratch.set_data(memory.get());
    (*kernel)();
  }

 private:
  std::deque<hwy::AlignedFreeUniquePtr<uint8_t[]>> buffers_;
  std::mt19937_64 random_{12345};
};

inline double ToleranceOf(DType dtype) { return dtype == DType::kBF16 ? 8e-3 : dtype == DType::kF16 ? 1e-3 : 2e-5; }

inline void ExpectNear(const TensorView& actual, const Numbers& expected, double tolerance, std::string_view what) {
  const Numbers values = Bench::Read(actual);
  ASSERT_EQ(values.size(), expected.size()) << what;
  double scale = 1e-3;
  for (double value : expected) {
    if (std::isfinite(value)) scale = std::max(scale, std::fabs(value));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(expected[i])) {
      ASSERT_TRUE(std::isnan(values[i])) << what << " [" << i << "] is " << values[i];
    } else if (std::isinf(expected[i])) {
      ASSERT_EQ(values[i], expected[i]) << what << " [" << i << "]";
    } else {
      ASSERT_NEAR(values[i], expected[i], tolerance * scale) << what << " [" << i << "] of " << TypeText(actual.type);
    }
  }
}

// Every test runs for each instruction set compiled in that the machine has.
class CpuKernelsTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    CpuKernel("add");  // the choice for this machine is made now, not later
    if ((hwy::SupportedTargets() & GetParam()) == 0) GTEST_SKIP() << "this machine lacks the instruction set";
    hwy::GetChosenTarget().Update(GetParam());
  }
  void TearDown() override { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }
  Bench bench_;
};

}  // namespace gptc

#endif  // GPTC_RUNTIME_CPU_KERNEL_BENCH_FOR_TEST_H_
