// What a GPU can do at best: a large product of random numbers by the engine that plans use (zeros would run faster),
// and copies within its memory.
#include <algorithm>
#include <vector>

#include "ir/base/philox.h"
#include "runtime/cuda/device.h"

namespace gptc {
namespace {

constexpr int64_t kSide = 8192;
constexpr int kRuns = 9;
constexpr size_t kCopied = size_t{2} << 30;

// Random numbers of [-1, 1), the same 64 Ki of them again and again.
Status FillRandom(CudaDevice& device, void* to, DType dtype, size_t bytes) {
  constexpr size_t kBlock = 1 << 16;
  std::vector<float> values(kBlock);
  for (size_t i = 0; i < kBlock; ++i) values[i] = static_cast<float>(static_cast<double>(Mix64(i) >> 11) * 0x1p-52 - 1);
  std::vector<uint16_t> narrow;
  for (float value : values) narrow.push_back(Bf16FromFloat(value));
  const void* from = dtype == DType::kF32 ? static_cast<const void*>(values.data()) : narrow.data();
  const size_t block = kBlock * static_cast<size_t>(SizeOf(dtype));
  for (size_t at = 0; at < bytes; at += block) {
    device.Copy(static_cast<std::byte*>(to) + at, from, std::min(block, bytes - at));
  }
  return device.Synchronize();
}

// Seconds of one run of `work`, the median.
StatusOr<double> Median(CudaDevice& device, const BoundKernel& work) {
  const WorkList list(kRuns + 2, work);
  std::vector<Device::Span> times;
  RETURN_IF_ERROR(device.RunTimed(list, times));
  std::vector<double> seconds;
  for (size_t i = 2; i < times.size(); ++i) seconds.push_back(times[i].seconds);
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return seconds[kRuns / 2];
}

StatusOr<double> ProductGflops(CudaDevice& device, DType dtype, int64_t side) {
  const size_t bytes = static_cast<size_t>(side * side) * static_cast<size_t>(SizeOf(dtype));
  ASSIGN_OR_RETURN(const Region memory, device.Allocate(3 * bytes, "measuring products"));
  RETURN_IF_ERROR(FillRandom(device, memory.data(), dtype, 2 * bytes));
  GemmProblem problem{.m = side, .n = side, .k = side};
  problem.a = {memory.data(), dtype, false, side};
  problem.b = {memory.data() + bytes, dtype, true, side};
  problem.y = {memory.data() + 2 * bytes, dtype, false, side};
  ScratchPool scratch;
  ASSIGN_OR_RETURN(const BoundKernel product, device.gemm().Bind(problem, scratch));
  ASSIGN_OR_RETURN(const Region workspace, device.Allocate(scratch.bytes(), "measuring products"));
  scratch.set_data(workspace.data());
  ASSIGN_OR_RETURN(const double seconds, Median(device, product));
  return 2e-9 * static_cast<double>(side * side) * static_cast<double>(side) / seconds;
}

// GB/s of reading and writing together, of a copy within so many bytes.
StatusOr<double> CopyGBps(CudaDevice& device, size_t bytes) {
  ASSIGN_OR_RETURN(const Region memory, device.Allocate(2 * bytes, "measuring memory"));
  ASSIGN_OR_RETURN(const double seconds,
                   Median(device, [&] { device.Copy(memory.data() + bytes, memory.data(), bytes); }));
  return 2e-9 * static_cast<double>(bytes) / seconds;
}

}  // namespace

StatusOr<Roofline> CudaDevice::MeasureCeilings(const plan::PlanT& plan) {
  Roofline roofline;
  ASSIGN_OR_RETURN(roofline.f32_gflops, ProductGflops(*this, DType::kF32, kSide / 2));
  if (plan.precision == "bf16") {
    ASSIGN_OR_RETURN(roofline.bf16_gflops, ProductGflops(*this, DType::kBF16, kSide));
  }
  const size_t room = static_cast<size_t>(std::max<int64_t>(AvailableMemory(), 0)) / 4;
  ASSIGN_OR_RETURN(const double copy, CopyGBps(*this, std::min(kCopied, std::max<size_t>(room, 1 << 20))));
  roofline.levels.push_back({int64_t{1} << 62, copy, copy});
  return roofline;
}

}  // namespace gptc
