// Every op case (op_cases.h) in three modes: shape rules; CPU kernels against the reference evaluator; gradients
// against finite differences.
#include "tests/op_cases/op_cases.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <set>

#include "autodiff/finite_differences.h"
#include "ir/base/target.h"
#include "runtime/cpu/bf16_tile.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/simd.h"
#include "runtime/plan/workspace.h"
#include "tests/op_cases/agreement.h"

// After simd.h, which says which instruction sets there are.
#include "hwy/highway.h"

namespace gptc {
namespace {

constexpr size_t kGuard = 64;
constexpr unsigned char kPoison = 0xff;  // NaN in every float type, -1 in i32
constexpr unsigned char kGuardByte = 0xa5;

// Aligned memory between guards that must stay as they are.
class Buffer {
 public:
  explicit Buffer(size_t bytes)
      : bytes_(bytes), memory_(static_cast<unsigned char*>(::operator new(bytes + 2 * kGuard, std::align_val_t(64)))) {
    std::memset(memory_, kGuardByte, bytes + 2 * kGuard);
    std::memset(data(), kPoison, bytes);
  }
  ~Buffer() { ::operator delete(memory_, std::align_val_t(64)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return memory_ + kGuard; }
  std::vector<unsigned char> Contents() const { return {memory_ + kGuard, memory_ + kGuard + bytes_}; }
  bool GuardsHold() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (memory_[i] != kGuardByte || memory_[kGuard + bytes_ + i] != kGuardByte) return false;
    }
    return true;
  }

 private:
  size_t bytes_;
  unsigned char* memory_;
};

using Bits = std::vector<Bytes>;  // of each result

struct Arrangement {
  int threads = 1;
  std::vector<int> shares;  // for each result, the input in whose memory it lies, or -1
  int runs = 1;             // of the one bound kernel; inputs that a result lies over are the first's alone
};

// Makes the vector code run on this of its instruction sets, or again on the machine's best (0).
void UseInstructions(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Binds and runs a CPU kernel on freshly poisoned memory.
StatusOr<Bits> RunKernel(const OpCase& op_case, const std::vector<HostTensor>& inputs, const std::vector<Type>& types,
                         const Attributes& attributes, const Arrangement& arrangement) {
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<TensorView> operands, results;
  for (const HostTensor& input : inputs) {
    buffers.push_back(std::make_unique<Buffer>(static_cast<size_t>(ByteCount(input.type))));
    const Bytes bytes = Encoded(input);
    if (!bytes.empty()) std::memcpy(buffers.back()->data(), bytes.data(), bytes.size());
    operands.push_back({input.type, buffers.back()->data()});
  }
  for (size_t r = 0; r < types.size(); ++r) {
    if (r < arrangement.shares.size() && arrangement.shares[r] >= 0) {
      results.push_back({types[r], operands[arrangement.shares[r]].data});
      continue;
    }
    buffers.push_back(std::make_unique<Buffer>(static_cast<size_t>(ByteCount(types[r]))));
    results.push_back({types[r], buffers.back()->data()});
  }
  ScratchPool scratch;
  const KernelFactory factory = CpuKernel(NameOf(op_case.op));
  if (factory == nullptr) return Failure("no CPU kernel is named ", NameOf(op_case.op));
  // Kernels may assume these threads when they are bound.
  omp_set_num_threads(arrangement.threads);
  ASSIGN_OR_RETURN(const BoundKernel kernel, factory({operands, results, attributes, scratch}));
  std::vector<Type> operand_types, result_types;
  for (const TensorView& view : operands) operand_types.push_back(view.type);
  for (const TensorView& view : results) result_types.push_back(view.type);
  const Workspace granted = WorkspaceOf(op_case.op, operand_types, result_types, attributes, NativeTarget());
  const ScratchPool::Asked asked = scratch.TakeAsked();
  if (static_cast<int64_t>(asked.bytes) > granted.Bytes(asked.threads)) {
    return Failure("asks for ", asked.bytes, " bytes of workspace, runtime/plan/workspace.cc grants ",
                   granted.Bytes(asked.threads));
  }
  const Buffer scratch_memory(scratch.bytes());
  scratch.set_data(scratch_memory.data());
  for (int i = 0; i < arrangement.runs; ++i) kernel();
  omp_set_num_threads(2);

  if (!scratch_memory.GuardsHold()) return Failure("wrote outside of its scratch");
  for (const auto& buffer : buffers) {
    if (!buffer->GuardsHold()) return Failure("wrote outside of its results");
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (std::find(arrangement.shares.begin(), arrangement.shares.end(), static_cast<int>(i)) !=
        arrangement.shares.end())
      continue;
    if (Encoded(inputs[i]) != buffers[i]->Contents()) return Failure("changed its input ", i);
  }
  Bits bits;
  for (const TensorView& result : results) {
    const auto* bytes = static_cast<const unsigned char*>(result.data);
    bits.emplace_back(bytes, bytes + result.bytes());
  }
  return bits;
}

void ExpectClose(const OpCase& op_case, const std::vector<HostTensor>& wanted, const Bits& bits) {
  std::vector<Type> types;
  for (const HostTensor& result : wanted) types.push_back(result.type);
  const Allowance allowance = HasBf16Tiles() ? AllowanceOfBf16Attention(op_case, types) : Allowance();
  for (const std::string& difference : Differences(op_case, wanted, bits, allowance)) ADD_FAILURE() << difference;
}

class OpCases : public ::testing::TestWithParam<size_t> {
 protected:
  const OpCase& op_case() const { return AllOpCases()[GetParam()]; }
  int64_t elements() const {
    int64_t count = 0;
    for (const CaseInput& input : op_case().inputs) count += ElementCount(input.type.shape);
    return count;
  }
};

std::string CaseName(const ::testing::TestParamInfo<size_t>& info) { return TestName(info.param); }

TEST_P(OpCases, HaveTypes) {
  const auto types = ResultTypes(op_case(), InputTypes(op_case()));
  ASSERT_TRUE(types.ok()) << op_case().Name() << ": " << types.status();
  EXPECT_FALSE(types->empty());
}

class CpuKernels : public OpCases {};

TEST_P(CpuKernels, AgreeWithTheReference) {
  const OpInfo& info = InfoOf(op_case().op);
  const auto types = ResultTypes(op_case(), InputTypes(op_case()));
  ASSERT_TRUE(types.ok()) << types.status();
  const auto attributes = CompletedAttributes(op_case());
  ASSERT_TRUE(attributes.ok()) << attributes.status();
  // Library products repeat for one number of threads only.
  const bool own = info.family != "matmul";

  const uint32_t seeds = elements() < 2000 ? 3 : 1;
  for (uint32_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(Cat(op_case().Name(), ", seed ", seed));
    const std::vector<HostTensor> inputs = FillInputs(op_case(), seed);
    std::vector<const HostTensor*> operands;
    for (const HostTensor& input : inputs) operands.push_back(&input);
    const std::vector<HostTensor> wanted = EvaluateOp(op_case().op, operands, *attributes, *types, Rounding::kRounded);

    const auto alone = RunKernel(op_case(), inputs, *types, *attributes, {.threads = 1});
    ASSERT_TRUE(alone.ok()) << alone.status();
    ExpectClose(op_case(), wanted, *alone);
    const auto again = RunKernel(op_case(), inputs, *types, *attributes, {.threads = 1, .runs = 2});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again == *alone, true) << "a second run of the bound kernel gives other bits";
    const auto threads = RunKernel(op_case(), inputs, *types, *attributes, {.threads = 2});
    ASSERT_TRUE(threads.ok()) << threads.status();
    if (own) {
      EXPECT_EQ(*threads == *alone, true) << "two threads give other bits than one";
    } else {
      ExpectClose(op_case(), wanted, *threads);
    }
    for (const std::vector<int>& shares : Sharings(info, InputTypes(op_case()), *types)) {
      const auto shared = RunKernel(op_case(), inputs, *types, *attributes, {.threads = 1, .shares = shares});
      ASSERT_TRUE(shared.ok()) << shared.status();
      EXPECT_EQ(*shared == *alone, true) << "other bits where results lie over the operands [" << Join(shares, ", ")
                                         << "]";
    }
    for (const int64_t target : {HWY_AVX2, HWY_STATIC_TARGET}) {
      if (target == HWY_AVX2 && (hwy::SupportedTargets() & HWY_AVX2) == 0) continue;
      SCOPED_TRACE(Cat("instructions: ", hwy::TargetName(target)));
      UseInstructions(target);
      const auto other = RunKernel(op_case(), inputs, *types, *attributes, {.threads = 1});
      UseInstructions(0);
      ASSERT_TRUE(other.ok()) << other.status();
      ExpectClose(op_case(), wanted, *other);
    }
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

// Small enough that each element can be moved.
bool HasGradientMode(const OpCase& op_case) {
  int64_t count = 0;
  bool floats = false;
  for (const CaseInput& input : op_case.inputs) {
    count += ElementCount(input.type.shape);
    floats = floats || IsFloat(input.type.dtype);
    if (ElementCount(input.type.shape) == 0 || input.type.dtype == DType::kBF16)
      return false;  // bf16 cases repeat f32 ones
  }
  return InfoOf(op_case.op).gradient == Gradient::kVjp && op_case.differentiable && floats && count <= 100;
}

class Gradients : public OpCases {};

TEST_P(Gradients, AreThoseOfFiniteDifferences) {
  SCOPED_TRACE(op_case().Name());
  const auto attributes = CompletedAttributes(op_case());
  ASSERT_TRUE(attributes.ok()) << attributes.status();
  const std::vector<HostTensor> filled = FillInputs(op_case(), 1, /*widened=*/true);
  // The run-time scalars are no argument: constants, one at a time.
  std::vector<HostTensor> arguments;
  for (size_t i = 0; i < filled.size(); ++i) {
    if (op_case().inputs[i].fill != Fill::kScalars) arguments.push_back(filled[i]);
  }
  const auto build = [&](GraphBuilder& g, const std::vector<Tensor>& given) {
    std::vector<Tensor> operands;
    size_t next = 0;
    for (size_t i = 0; i < filled.size(); ++i) {
      if (op_case().inputs[i].fill != Fill::kScalars) {
        operands.push_back(given[next++]);
        continue;
      }
      std::vector<Tensor> elements;
      for (double value : filled[i].data) elements.push_back(g.Constant(value, DType::kF64, {1}));
      operands.push_back(g.Concat(elements, 0));
    }
    const std::vector<Tensor> results = g.Emit(op_case().op, operands, *attributes);
    // What it hides is -inf, which only a softmax makes finite again.
    if (op_case().op == Op::kCausalMask) return g.Softmax(results[0]);
    // Only split has several results that all have gradients; the others' are statistics.
    return op_case().op == Op::kSplit && results.size() > 1 ? g.Concat(results, attributes->Int("axis")) : results[0];
  };
  ExpectGradients(build, std::move(arguments));
}

INSTANTIATE_TEST_SUITE_P(All, OpCases, ::testing::Range(size_t{0}, AllOpCases().size()), CaseName);
INSTANTIATE_TEST_SUITE_P(All, CpuKernels, ::testing::ValuesIn(CasesWhere(HasKernel)), CaseName);
INSTANTIATE_TEST_SUITE_P(All, Gradients, ::testing::ValuesIn(CasesWhere(HasGradientMode)), CaseName);

TEST(OpCaseTable, HasEveryOp) {
  std::set<Op> all, gradients;
  for (const OpCase& op_case : AllOpCases()) {
    all.insert(op_case.op);
    if (HasGradientMode(op_case)) gradients.insert(op_case.op);
  }
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    EXPECT_TRUE(all.contains(op)) << NameOf(op) << " has no op case";
    if (InfoOf(op).gradient != Gradient::kVjp) continue;
    EXPECT_TRUE(gradients.contains(op)) << NameOf(op) << " has no case with gradients";
  }
}

TEST(OpCaseTable, NamesAreUnique) {
  std::set<std::string> names;
  for (const OpCase& op_case : AllOpCases()) EXPECT_TRUE(names.insert(op_case.Name()).second) << op_case.Name();
}

TEST(CpuKernelTable, RefusesTypesThatAKernelDoesNotHave) {
  ScratchPool scratch;
  Buffer memory(64);
  const Attributes none;
  const Type f16 = {DType::kF16, {3}};
  const std::vector<TensorView> operands = {{f16, memory.data()}, {f16, memory.data()}},
                                results = {{f16, memory.data()}};
  const auto bound = CpuKernel("add")({operands, results, none, scratch});
  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Message(bound.status()),
            "add: no CPU kernel for (f16[3], f16[3]) -> (f16[3]); supported: f32, bf16, f64 or i32");
  EXPECT_EQ(CpuKernel("no such op"), nullptr);
}

}  // namespace
}  // namespace gptc
