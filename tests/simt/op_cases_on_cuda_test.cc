// Every op case (tests/op_cases) on the CUDA device: emulated as part of simt_test, on a GPU as gpu_test, which skips
// where there is none.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cuda/device.h"
#include "runtime/plan/cuda_workspace.h"
#include "tests/op_cases/agreement.h"
#include "tests/op_cases/op_cases.h"
#include "tests/simt/allowance.h"

#ifdef GPTC_SIMT
#include "tests/simt/generated_code.h"
#include "tests/simt/simt.h"
#else
#include "passes/cuda_prelude.h"
#include "passes/cuda_source.h"
#include "passes/nvrtc.h"
#include "runtime/plan/generated.h"
#endif

namespace gptc {
namespace {

// Bytes before and behind a tensor that must stay as they are. The first leave it at a multiple of 64 and of no more.
constexpr size_t kBefore = 320, kBehind = 256;
constexpr unsigned char kPoison = 0xff;  // NaN in every float type, -1 in i32
// NaN too, in every pair of bytes, and not the poison: what is read there shows in the results.
constexpr unsigned char GuardByte(size_t i) { return i % 2 == 0 ? 0xff : 0x7f; }

// The device, made once; where there is none, why.
const StatusOr<std::unique_ptr<CudaDevice>>& TheDevice() {
  static const auto* const device = new StatusOr<std::unique_ptr<CudaDevice>>(CudaDevice::Create());
  return *device;
}

#ifdef GPTC_SIMT
// One of the size of an H100, for what kernels ask for there.
CudaDevice& LargeDevice() {
  static CudaDevice* const device = [] {
    simt::SetMultiprocessors(132);
    CudaDevice* const large = CudaDevice::Create()->release();
    simt::SetMultiprocessors(5);
    return large;
  }();
  return *device;
}
// One that has no warpgroups' products.
CudaDevice& OlderDevice() {
  static CudaDevice* const device = [] {
    simt::SetComputeCapability(8);
    CudaDevice* const older = CudaDevice::Create()->release();
    simt::SetComputeCapability(9);
    return older;
  }();
  return *device;
}
#endif

// The regions of all `fused` cases, with the types of their operands.
std::vector<std::pair<std::string, std::vector<Type>>> FusedRegions() {
  std::vector<std::pair<std::string, std::vector<Type>>> regions;
  for (const OpCase& op_case : AllOpCases()) {
    if (op_case.op == Op::kFused) regions.emplace_back(op_case.attributes.Str("region"), InputTypes(op_case));
  }
  return regions;
}

// Their kernels, as the compiler would put them into a plan.
StatusOr<std::unique_ptr<plan::GeneratedCodeT>> GeneratedCode(int sm) {
#ifdef GPTC_SIMT
  (void)sm;
  return simt::EmulatedCode(FusedRegions());
#else
  auto code = std::make_unique<plan::GeneratedCodeT>();
  code->prelude = CudaPrelude();
  std::set<std::string> names;
  for (const auto& [region, operands] : FusedRegions()) {
    StatusOr<plan::GeneratedKernelT> kernel = GenerateCudaKernel(region, operands);
    if (!kernel.ok() || !names.insert(kernel->name).second) continue;
    code->kernels.push_back(std::make_unique<plan::GeneratedKernelT>(*std::move(kernel)));
  }
  ASSIGN_OR_RETURN(const CudaBinary binary, CompileCudaCached(GeneratedProgram(*code), sm));
  code->sm = static_cast<uint16_t>(sm);
  code->cubin.assign(binary.cubin.begin(), binary.cubin.end());
  code->ptx = binary.ptx;
  return code;
#endif
}

// Loads the kernels of the `fused` cases, once.
Status LoadGenerated() {
  static const auto* const loaded = new Status([]() -> Status {
    plan::PlanT plan;
    ASSIGN_OR_RETURN(plan.generated, GeneratedCode((*TheDevice())->sm()));
    return (*TheDevice())->LoadKernels(plan);
  }());
  return *loaded;
}

// Memory of the device between guards.
class Buffer {
 public:
  static StatusOr<Buffer> Create(Device& device, size_t bytes) { return Create(device, Bytes(bytes, kPoison)); }
  static StatusOr<Buffer> Create(Device& device, const Bytes& contents) {
    Buffer buffer;
    buffer.bytes_ = contents.size();
    ASSIGN_OR_RETURN(buffer.memory_, device.Allocate(kBefore + contents.size() + kBehind, "a tensor"));
    Bytes whole(kBefore + contents.size() + kBehind);
    for (size_t i = 0; i < whole.size(); ++i) whole[i] = GuardByte(i);
    std::copy(contents.begin(), contents.end(), whole.begin() + kBefore);
    device.Copy(buffer.memory_.data(), whole.data(), whole.size());
    RETURN_IF_ERROR(device.Synchronize());
    return buffer;
  }

  void* data() const { return memory_.data() + kBefore; }
  size_t bytes() const { return bytes_; }
  // What it holds now; an error where something else was overwritten.
  StatusOr<Bytes> Contents(Device& device) const {
    Bytes whole(memory_.bytes());
    device.Copy(whole.data(), memory_.data(), whole.size());
    RETURN_IF_ERROR(device.Synchronize());
    for (size_t i = 0; i < whole.size(); ++i) {
      if (i >= kBefore && i < kBefore + bytes_) continue;
      if (whole[i] != GuardByte(i)) {
        return Failure("wrote outside of a tensor of ", bytes_, " bytes, at byte ",
                       static_cast<int64_t>(i) - static_cast<int64_t>(kBefore));
      }
    }
    return Bytes(whole.begin() + kBefore, whole.begin() + kBefore + static_cast<int64_t>(bytes_));
  }

 private:
  Region memory_;
  size_t bytes_ = 0;
};

struct Arrangement {
  std::vector<int> shares;  // for each result, the input in whose memory it lies, or -1
  int runs = 1;             // of the one bound kernel
  bool recorded = false;    // run as a recording, into results poisoned anew each time
};

// The results of one kernel on freshly poisoned memory.
StatusOr<std::vector<Bytes>> RunKernel(CudaDevice& device, const OpCase& op_case, const std::vector<HostTensor>& inputs,
                                       const std::vector<Type>& types, const Attributes& attributes,
                                       const Arrangement& arrangement) {
  std::vector<Buffer> buffers;
  std::vector<TensorView> operands, results;
  for (const HostTensor& input : inputs) {
    ASSIGN_OR_RETURN(Buffer buffer, Buffer::Create(device, Encoded(input)));
    operands.push_back({input.type, buffer.data()});
    buffers.push_back(std::move(buffer));
  }
  std::vector<size_t> result_buffers;
  for (size_t r = 0; r < types.size(); ++r) {
    const int share = r < arrangement.shares.size() ? arrangement.shares[r] : -1;
    result_buffers.push_back(share >= 0 ? static_cast<size_t>(share) : buffers.size());
    if (share < 0) {
      ASSIGN_OR_RETURN(Buffer buffer, Buffer::Create(device, static_cast<size_t>(ByteCount(types[r]))));
      buffers.push_back(std::move(buffer));
    }
    results.push_back({types[r], buffers[result_buffers.back()].data()});
  }
  const KernelFactory factory = device.Kernel(NameOf(op_case.op));
  if (factory == nullptr) return Failure("no CUDA kernel is named ", NameOf(op_case.op));
  ScratchPool scratch;
  ASSIGN_OR_RETURN(BoundKernel kernel, factory({operands, results, attributes, scratch, &device}));
  const int64_t granted = CudaWorkspaceBytes(op_case.op, InputTypes(op_case), types, attributes);
  if (static_cast<int64_t>(scratch.bytes()) > granted) {
    return Failure("asks for ", scratch.bytes(), " bytes of workspace, runtime/plan/cuda_workspace.cc grants ",
                   granted);
  }
  ASSIGN_OR_RETURN(const Buffer scratch_memory, Buffer::Create(device, scratch.bytes()));
  scratch.set_data(scratch_memory.data());
  if (arrangement.recorded) {
    ASSIGN_OR_RETURN(kernel, device.Record({kernel}));
  }
  for (int run = 0; run < arrangement.runs; ++run) {
    if (arrangement.recorded) {
      for (const TensorView& result : results) device.Fill(result.data, kPoison, result.bytes());
    }
    kernel();
  }
  RETURN_IF_ERROR(device.Synchronize());

  RETURN_IF_ERROR(scratch_memory.Contents(device).status());
  std::vector<Bytes> contents;
  for (size_t i = 0; i < buffers.size(); ++i) {
    ASSIGN_OR_RETURN(Bytes bytes, buffers[i].Contents(device));
    const bool shared = std::find(arrangement.shares.begin(), arrangement.shares.end(), static_cast<int>(i)) !=
                        arrangement.shares.end();
    if (i < inputs.size() && !shared && bytes != Encoded(inputs[i])) return Failure("changed its input ", i);
    contents.push_back(std::move(bytes));
  }
  std::vector<Bytes> bits;
  for (const size_t buffer : result_buffers) bits.push_back(contents[buffer]);
  return bits;
}

// What no compiler makes for CUDA: other types and layouts are Unimplemented and not wrong. `packed` weights are a
// layout of CPU targets; f16 is no type of these kernels.
bool MayBeMissing(const OpCase& op_case, const std::vector<Type>& results, const Attributes& attributes) {
  if (op_case.op == Op::kPack) return true;
  if (const auto* columns = attributes.Find("columns"); columns != nullptr && attributes.Int("columns") != 0)
    return true;
  const auto half = [](const Type& type) { return type.dtype == DType::kF16; };
  const std::vector<Type> inputs = InputTypes(op_case);
  return std::any_of(inputs.begin(), inputs.end(), half) || std::any_of(results.begin(), results.end(), half);
}

class OpCasesOnCuda : public ::testing::TestWithParam<size_t> {};

TEST_P(OpCasesOnCuda, AgreeWithTheReference) {
  if (!TheDevice().ok()) {
#ifdef GPTC_SIMT
    FAIL() << TheDevice().status();
#else
    GTEST_SKIP() << TheDevice().status().message();
#endif
  }
  CudaDevice& device = **TheDevice();
  const OpCase& op_case = AllOpCases()[GetParam()];
  if (op_case.op == Op::kFused) {
    // Where the machine has neither NVRTC nor, for the emulation, g++.
    if (const Status status = LoadGenerated(); !status.ok()) {
#ifdef GPTC_SIMT
      if (simt::HasHostCompiler()) FAIL() << status;
#endif
      GTEST_SKIP() << status.message();
    }
  }
  const auto types = ResultTypes(op_case, InputTypes(op_case));
  ASSERT_TRUE(types.ok()) << types.status();
  const auto attributes = CompletedAttributes(op_case);
  ASSERT_TRUE(attributes.ok()) << attributes.status();
  int64_t elements = 0;
  for (const CaseInput& input : op_case.inputs) elements += ElementCount(input.type.shape);

#ifdef GPTC_SIMT
  const bool library_product = false;  // the emulation's are exact
#else
  const bool library_product = IsLibraryProduct(op_case.op);
#endif

  const uint32_t seeds = elements < 2000 ? 3 : 1;
  for (uint32_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(Cat(op_case.Name(), ", seed ", seed));
    const std::vector<HostTensor> inputs = FillInputs(op_case, seed);
    std::vector<const HostTensor*> operands;
    for (const HostTensor& input : inputs) operands.push_back(&input);
    const std::vector<HostTensor> wanted = EvaluateOp(op_case.op, operands, *attributes, *types, Rounding::kRounded);
    const auto run = [&](const Arrangement& arrangement) {
      return RunKernel(device, op_case, inputs, *types, *attributes, arrangement);
    };
    const auto alone = run({});
    if (absl::IsUnimplemented(alone.status()) && MayBeMissing(op_case, *types, *attributes)) return;
    ASSERT_TRUE(alone.ok()) << alone.status();

    const Allowance allowance = library_product ? AllowanceOfProducts(op_case, *attributes, inputs, *types)
                                                : AllowanceOnCuda(op_case, *attributes, *types);
    const auto check = [&](const std::vector<Bytes>& bits) {
      for (const std::string& difference : Differences(op_case, wanted, bits, allowance)) ADD_FAILURE() << difference;
    };
    check(*alone);
    const auto again = run({.runs = 2});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again == *alone, true) << "a second run of the bound kernel gives other bits";
    const auto replayed = run({.runs = 3, .recorded = true});
    ASSERT_TRUE(replayed.ok()) << replayed.status();
    EXPECT_EQ(*replayed == *alone, true) << "replayed, the kernel gives other bits";
    for (const std::vector<int>& shares : Sharings(InfoOf(op_case.op), InputTypes(op_case), *types)) {
      const auto shared = run({.shares = shares});
      ASSERT_TRUE(shared.ok()) << shared.status();
      SCOPED_TRACE(Cat("results over the operands [", Join(shares, ", "), "]"));
      if (library_product) {
        check(*shared);
      } else {
        EXPECT_EQ(*shared == *alone, true) << "other bits";
      }
    }
#ifdef GPTC_SIMT
    for (const uint32_t order : {1, 2}) {
      simt::SetOrder(order);
      const auto ordered = run({});
      ASSERT_TRUE(ordered.ok()) << ordered.status();
      EXPECT_EQ(*ordered == *alone, true) << "other bits in another order of warps and blocks";
    }
    if (op_case.op != Op::kFused) {
      const auto bound = RunKernel(LargeDevice(), op_case, inputs, *types, *attributes, {.runs = 0});
      ASSERT_TRUE(bound.ok()) << "on a large device: " << bound.status();
    }
    if (op_case.op == Op::kFlashAttention || op_case.op == Op::kFlashAttentionBackward) {
      const auto older = RunKernel(OlderDevice(), op_case, inputs, *types, *attributes, {});
      ASSERT_TRUE(older.ok()) << "on an older device: " << older.status();
      check(*older);
    }
    if (IsLibraryProduct(op_case.op)) {
      simt::SetProductEpilogues(false);
      const auto in_parts = run({});
      simt::SetProductEpilogues(true);
      ASSERT_TRUE(in_parts.ok()) << in_parts.status();
      check(*in_parts);
      constexpr size_t kMostWays = 3;
      for (size_t way = 0; way < kMostWays; ++way) {
        SCOPED_TRACE(Cat("way ", way));
        simt::SetWay(way);
        const auto other = run({});
        simt::SetWay(std::nullopt);
        ASSERT_TRUE(other.ok()) << other.status();
        check(*other);
        simt::SetWay(way);
        const auto bound = RunKernel(LargeDevice(), op_case, inputs, *types, *attributes, {.runs = 0});
        simt::SetWay(std::nullopt);
        ASSERT_TRUE(bound.ok()) << "on a large device: " << bound.status();
      }
    }
#endif
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpCasesOnCuda, ::testing::ValuesIn(CasesWhere(HasKernel)),
                         [](const auto& at) { return TestName(at.param); });

}  // namespace
}  // namespace gptc
