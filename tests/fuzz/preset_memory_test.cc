// The arena of every preset, in several shapes, is within 2 % of the largest sum of bytes alive at once; so are small
// odd shapes, and plans that were brought under a memory budget.
#include <gtest/gtest.h>

#include "frontends/gptc/pipeline.h"
#include "models/model.h"

namespace gptc {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

Module Gpt2(const std::string& preset, const Settings& settings) {
  const Model* gpt2 = *ModelNamed("gpt2");
  StatusOr<Config> config = MakeConfig(*gpt2, preset, settings);
  EXPECT_TRUE(config.ok()) << Message(config.status());
  StatusOr<Module> module = gpt2->build(*config);
  EXPECT_TRUE(module.ok()) << Message(module.status());
  return *std::move(module);
}

int64_t ExpectTight(const Module& module, int64_t batch, int64_t tokens, int64_t budget, const std::string& what) {
  StatusOr<Compilation> compiled =
      Compile(module, {.dimensions = {{"B", batch}, {"T", tokens}}, .memory_budget = budget});
  EXPECT_TRUE(compiled.ok()) << what << ": " << Message(compiled.status());
  if (!compiled.ok()) return 0;
  for (const auto& entry : compiled->plan.entries) {
    EXPECT_LE(entry->arena_bytes * 100, entry->arena_lower_bound * 102)
        << what << ", B=" << batch << " T=" << tokens << ", budget " << budget << ": " << entry->name;
    EXPECT_GE(entry->arena_bytes, entry->arena_lower_bound);
  }
  return compiled->peak_bytes;
}

class PresetMemory : public ::testing::TestWithParam<const char*> {};

TEST_P(PresetMemory, IsWithinTwoPercentOfItsBound) {
  const Module module = Gpt2(GetParam(), {});
  const int64_t context = module.dimensions[module.FindDimension("context")].value;
  for (const auto& [batch, tokens] : {std::pair<int64_t, int64_t>{1, 1024}, {4, 256}, {3, 250}, {16, 64}}) {
    const int64_t peak = ExpectTight(module, batch, std::min(tokens, context), 0, GetParam());
    const int64_t least = ExpectTight(module, batch, std::min(tokens, context), 1, GetParam());
    EXPECT_LT(least, peak) << GetParam();
  }
}
INSTANTIATE_TEST_SUITE_P(Gpt2, PresetMemory, ::testing::Values("baby", "124M", "350M", "774M", "1558M"),
                         [](const auto& each) { return "preset_" + std::string(each.param); });

TEST(OddShapeMemory, IsWithinTwoPercentOfItsBound) {
  const Settings shapes[] = {
      {{"layers", "1"}, {"heads", "1"}, {"width", "12"}, {"context", "8"}, {"vocab", "1"}},
      {{"layers", "2"}, {"heads", "3"}, {"width", "15"}, {"inner", "19"}, {"context", "11"}, {"vocab", "23"}},
      {{"layers", "3"}, {"heads", "2"}, {"width", "40"}, {"context", "33"}, {"vocab", "7"}, {"dropout", "0.1"}},
      {{"layers", "2"}, {"heads", "5"}, {"width", "100"}, {"context", "33"}, {"vocab", "300"}, {"tied", "false"}},
      {{"layers", "5"}, {"heads", "1"}, {"width", "256"}, {"context", "64"}, {"vocab", "65"}, {"bias", "false"}},
  };
  for (const Settings& settings : shapes) {
    const Module module = Gpt2("", settings);
    for (int64_t batch : {1, 2, 5}) {
      for (int64_t tokens : {1, 8}) {
        for (int64_t budget : {0, 1}) ExpectTight(module, batch, tokens, budget, "layers " + settings[0].second);
      }
    }
  }
}

}  // namespace
}  // namespace gptc
