// The elementwise ops that move or choose data rather than compute: compare, select, cast, constant, copy.
//
//   compare   any dtype; a NaN is unequal to everything and in no order
//   select    y = condition ? a : b; any dtype
//   cast      between all dtypes. To bf16 and f16 rounds to nearest even; f64 goes by way of f32. To integers truncates
//   towards 0,
//             saturates, and makes 0 of a NaN. To bool says whether the value is not 0.
//   constant, copy   any dtype
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/cpu/elementwise_data.cc"
#include "runtime/cpu/simd.h"
// clang-format off
#include "hwy/foreach_target.h"
#include "runtime/cpu/simd-inl.h"
// clang-format on

#ifndef GPTC_RUNTIME_CPU_ELEMENTWISE_DATA_ONCE
#define GPTC_RUNTIME_CPU_ELEMENTWISE_DATA_ONCE
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "runtime/cpu/broadcast.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/unsupported.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace gptc {
namespace HWY_NAMESPACE {
namespace {

// The two casts of mixed precision.
void Bf16FromF32(const float* x, Bf16* y, size_t n) {
  MapRow(x, y, n, [](VF v) HWY_ATTR { return v; });
}
void F32FromBf16(const Bf16* x, float* y, size_t n) {
  MapRow(x, y, n, [](VF v) HWY_ATTR { return v; });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gptc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptc {
namespace {

HWY_EXPORT(Bf16FromF32);
HWY_EXPORT(F32FromBf16);

struct F16 {
  uint16_t bits;
};

// Every dtype has one type in memory; bool is a byte of its own.
struct Bool {
  uint8_t byte;
};

// visit(type in memory) for a dtype.
template <typename Visit>
auto WithType(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::kF64:
      return visit(double{});
    case DType::kF32:
      return visit(float{});
    case DType::kBF16:
      return visit(Bf16{});
    case DType::kF16:
      return visit(F16{});
    case DType::kI32:
      return visit(int32_t{});
    case DType::kU16:
      return visit(uint16_t{});
    case DType::kBool:
      break;
  }
  return visit(Bool{});
}

// Every value of every dtype is a double exactly.
inline double Read(double v) { return v; }
inline double Read(float v) { return v; }
inline double Read(Bf16 v) { return FloatFromBf16(v.bits); }
inline double Read(F16 v) { return FloatFromF16(v.bits); }
inline double Read(int32_t v) { return v; }
inline double Read(uint16_t v) { return v; }
inline double Read(Bool v) { return v.byte != 0; }

template <typename T>
T Saturated(double v) {
  if (std::isnan(v)) return 0;
  constexpr double kLeast = std::numeric_limits<T>::min(), kMost = std::numeric_limits<T>::max();
  return static_cast<T>(v < kLeast ? kLeast : v > kMost ? kMost : v);
}
inline void Write(double v, double& to) { to = v; }
inline void Write(double v, float& to) { to = static_cast<float>(v); }
inline void Write(double v, Bf16& to) { to.bits = Bf16FromFloat(static_cast<float>(v)); }
inline void Write(double v, F16& to) { to.bits = F16FromFloat(static_cast<float>(v)); }
inline void Write(double v, int32_t& to) { to = Saturated<int32_t>(v); }
inline void Write(double v, uint16_t& to) { to = Saturated<uint16_t>(v); }
inline void Write(double v, Bool& to) { to.byte = v != 0; }

template <typename Row, typename X, typename Y>
BoundKernel Mapped(const X* x, Y* y, int64_t count, Row row) {
  return [=] {
    ParallelFor(count, kChunkWork,
                [&](int64_t begin, int64_t end) { row(x + begin, y + begin, static_cast<size_t>(end - begin)); });
  };
}

template <typename T, typename Order>
BoundKernel OrderLoop(const KernelArgs& args, Order order) {
  auto nest = MakeLoopNest<2>(args.result().type.shape, {&args.input(0).type.shape, &args.input(1).type.shape});
  return [=, a = args.input(0).as<const T>(), b = args.input(1).as<const T>(), y = args.result().as<uint8_t>()] {
    ForEachRow(nest, 1, [&](const std::array<int64_t, 2>& offset, int64_t place, int64_t n) {
      const int64_t a_step = nest.inner[0], b_step = nest.inner[1];
      for (int64_t i = 0; i < n; ++i)
        y[place + i] = order(Read(a[offset[0] + i * a_step]), Read(b[offset[1] + i * b_step]));
    });
  };
}

template <typename T>
BoundKernel CompareLoop(const KernelArgs& args, std::string_view direction) {
  if (direction == "eq") return OrderLoop<T>(args, std::equal_to<double>());
  if (direction == "ne") return OrderLoop<T>(args, std::not_equal_to<double>());
  if (direction == "lt") return OrderLoop<T>(args, std::less<double>());
  if (direction == "le") return OrderLoop<T>(args, std::less_equal<double>());
  if (direction == "gt") return OrderLoop<T>(args, std::greater<double>());
  return OrderLoop<T>(args, std::greater_equal<double>());
}

// Chooses bits, whatever they stand for.
template <typename Bits>
BoundKernel SelectLoop(const KernelArgs& args) {
  auto nest = MakeLoopNest<3>(args.result().type.shape,
                              {&args.input(0).type.shape, &args.input(1).type.shape, &args.input(2).type.shape});
  return [=, condition = args.input(0).as<const uint8_t>(), a = args.input(1).as<const Bits>(),
          b = args.input(2).as<const Bits>(), y = args.result().as<Bits>()] {
    ForEachRow(nest, 1, [&](const std::array<int64_t, 3>& offset, int64_t place, int64_t n) {
      const int64_t step = nest.inner[0], a_step = nest.inner[1], b_step = nest.inner[2];
      for (int64_t i = 0; i < n; ++i) {
        const Bits u = a[offset[1] + i * a_step], v = b[offset[2] + i * b_step];
        y[place + i] = condition[offset[0] + i * step] ? u : v;
      }
    });
  };
}

BoundKernel CopyBytes(const void* x, void* y, size_t bytes) {
  if (x == y) return [] {};
  return [=, from = static_cast<const std::byte*>(x), to = static_cast<std::byte*>(y)] {
    ParallelFor(static_cast<int64_t>(bytes), 4 * kChunkWork, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
    });
  };
}

}  // namespace

StatusOr<BoundKernel> BindCpuCompare(const KernelArgs& args) {
  const DType dtype = args.input(0).type.dtype;
  if (args.input(1).type.dtype != dtype || args.result().type.dtype != DType::kBool)
    return Unsupported("compare", args, "one dtype to bool");
  const std::string& direction = args.attributes.Str("direction");
  return WithType(dtype, [&]<typename T>(T) { return CompareLoop<T>(args, direction); });
}

StatusOr<BoundKernel> BindCpuSelect(const KernelArgs& args) {
  const DType dtype = args.result().type.dtype;
  if (args.input(0).type.dtype != DType::kBool || args.input(1).type.dtype != dtype ||
      args.input(2).type.dtype != dtype) {
    return Unsupported("select", args, "a bool condition and branches of the result's dtype");
  }
  switch (SizeOf(dtype)) {
    case 1:
      return SelectLoop<uint8_t>(args);
    case 2:
      return SelectLoop<uint16_t>(args);
    case 4:
      return SelectLoop<uint32_t>(args);
    default:
      return SelectLoop<uint64_t>(args);
  }
}

StatusOr<BoundKernel> BindCpuCast(const KernelArgs& args) {
  const TensorView x = args.input(0), y = args.result();
  const int64_t count = y.count();
  if (x.type.dtype == y.type.dtype) return CopyBytes(x.data, y.data, y.bytes());
  if (x.type.dtype == DType::kF32 && y.type.dtype == DType::kBF16) {
    return Mapped(x.as<const float>(), y.as<Bf16>(), count, [](auto... row) {
      HWY_DYNAMIC_DISPATCH(Bf16FromF32)(row...);
    });
  }
  if (x.type.dtype == DType::kBF16 && y.type.dtype == DType::kF32) {
    return Mapped(x.as<const Bf16>(), y.as<float>(), count, [](auto... row) {
      HWY_DYNAMIC_DISPATCH(F32FromBf16)(row...);
    });
  }
  return WithType(x.type.dtype, [&]<typename X>(X) {
    return WithType(y.type.dtype, [&]<typename Y>(Y) {
      return Mapped(x.as<const X>(), y.as<Y>(), count, [](const X* from, Y* to, size_t n) {
        for (size_t i = 0; i < n; ++i) Write(Read(from[i]), to[i]);
      });
    });
  });
}

StatusOr<BoundKernel> BindCpuConstant(const KernelArgs& args) {
  const TensorView y = args.result();
  const double value = args.attributes.Double("value");
  return WithType(y.type.dtype, [&]<typename T>(T element) -> BoundKernel {
    Write(value, element);
    return [=, to = y.as<T>(), count = y.count()] {
      ParallelFor(count, kChunkWork, [&](int64_t begin, int64_t end) { std::fill(to + begin, to + end, element); });
    };
  });
}

StatusOr<BoundKernel> BindCpuIota(const KernelArgs& args) {
  const TensorView y = args.result();
  const int64_t axis = args.attributes.Int("axis"), size = y.type.shape[axis];
  int64_t inner = 1;
  for (size_t i = axis + 1; i < y.type.shape.size(); ++i) inner *= y.type.shape[i];
  return BoundKernel([=, to = y.as<int32_t>()] {
    ParallelFor(y.count(), kChunkWork, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = static_cast<int32_t>(i / inner % size);
    });
  });
}

StatusOr<BoundKernel> BindCpuCopy(const KernelArgs& args) {
  if (args.input(0).type != args.result().type) return Unsupported("copy", args, "a result of the operand's type");
  return CopyBytes(args.input(0).data, args.result().data, args.result().bytes());
}

}  // namespace gptc
#endif  // HWY_ONCE
