// Every pass on its text cases (testing/text_cases.h), and the list of those files against the folder.
#include <filesystem>
#include <set>

#include "gtest/gtest.h"
#include "passes/canonicalize.h"
#include "passes/chunk_logits.h"
#include "passes/cse.h"
#include "passes/dce.h"
#include "passes/fuse_accumulate.h"
#include "passes/fuse_attention.h"
#include "passes/fuse_cross_entropy.h"
#include "passes/fuse_elementwise.h"
#include "passes/fuse_linear.h"
#include "passes/fuse_residual_norm.h"
#include "passes/group_adamw.h"
#include "passes/mixed_precision.h"
#include "passes/pack_weights.h"
#include "passes/pad_vocabulary.h"
#include "passes/plan_memory.h"
#include "passes/recompute.h"
#include "passes/schedule.h"
#include "passes/specialize_micro_steps.h"
#include "passes/testing/text_cases.h"

namespace gptc {
namespace {

constexpr Pass kPasses[] = {
    {"canonicalize", &Canonicalize, true, ""},
    {"cse", &EliminateCommonSubexpressions, true, ""},
    {"dce", &EliminateDeadCode, true, ""},
    {"pad_vocabulary", &PadVocabulary, true, ""},
    {"fuse_attention", &FuseAttention, true, ""},
    {"fuse_cross_entropy", &FuseCrossEntropy, true, ""},
    {"chunk_logits", &ChunkLogits, true, ""},
    {"mixed_precision", &MixedPrecision, true, ""},
    {"fuse_linear", &FuseLinear, true, ""},
    {"fuse_residual_norm", &FuseResidualNorm, true, ""},
    {"fuse_elementwise", &FuseElementwise, true, ""},
    {"pack_weights", &PackWeights, true, ""},
    {"group_adamw", &GroupAdamW, true, ""},
    {"recompute", &Recompute, true, ""},
    {"specialize_micro_steps", &SpecializeMicroSteps, true, ""},
    {"fuse_accumulate", &FuseAccumulate, true, ""},
    {"schedule", &Schedule, true, ""},
    {"plan_memory", &PlanMemory, true, ""},
};

class TextCases : public ::testing::TestWithParam<Pass> {};

TEST_P(TextCases, ComeOutAsWritten) {
  std::string failures = RunTextCases(Cat(GPTC_SOURCE_DIR, "/passes/", GetParam().name, "_test.graph"), kPasses);
  EXPECT_TRUE(failures.empty()) << failures;
}

INSTANTIATE_TEST_SUITE_P(Passes, TextCases, ::testing::ValuesIn(kPasses),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(TextCaseFiles, AreAllRun) {
  std::set<std::string> known;
  for (const Pass& pass : kPasses) known.insert(Cat(pass.name, "_test.graph"));
  for (const auto& entry : std::filesystem::directory_iterator(Cat(GPTC_SOURCE_DIR, "/passes"))) {
    std::string name = entry.path().filename().string();
    if (!name.ends_with(".graph")) continue;
    EXPECT_TRUE(known.contains(name)) << name << " belongs to no pass of this test";
  }
}

}  // namespace
}  // namespace gptc
