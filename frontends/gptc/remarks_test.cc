#include "frontends/gptc/remarks.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptc {
namespace {

using ::testing::ElementsAre;

TEST(Remarks, LayersAndValuesLoseTheirNumbers) {
  EXPECT_EQ(WithoutNumbers("h3.projection: %gelu_12 is read by %7"), "h*.projection: %gelu_* is read by %*");
  EXPECT_EQ(WithoutNumbers("grad.h11.qkv.weight"), "grad.h*.qkv.weight");
  EXPECT_EQ(WithoutNumbers("12 heads of size 64 in bf16, 3.5 MiB"), "12 heads of size 64 in bf16, 3.5 MiB");
  EXPECT_EQ(WithoutNumbers("added at models/gpt2.cc:140 and gpt2.cc:9."), "added at models/gpt2.cc:140 and gpt2.cc:9.");
  EXPECT_EQ(WithoutNumbers("%"), "%");
  EXPECT_EQ(WithoutNumbers(""), "");
}

TEST(Remarks, ClonesAndLayersAreOneGroup) {
  plan::PlanT plan;
  for (const char* name : {"micro_step.first", "micro_step.only", "score"}) {
    plan.entries.push_back(std::make_unique<plan::EntryT>());
    plan.entries.back()->name = name;
  }
  auto remark = [&](const char* pass, bool done, const char* location, std::string text) {
    plan.remarks.push_back(std::make_unique<plan::RemarkT>());
    plan.remarks.back()->pass = pass;
    plan.remarks.back()->done = done;
    plan.remarks.back()->location = location;
    plan.remarks.back()->text = std::move(text);
  };
  for (const char* graph : {"micro_step.first", "micro_step.only"}) {
    for (int layer = 0; layer < 3; ++layer) remark("fuse_x", true, "m.cc:1", Cat(graph, ": fused h", layer, ".up"));
    remark("fuse_x", false, "m.cc:2", Cat(graph, ": %9 has another reader"));
  }
  remark("fuse_x", true, "m.cc:1", "score: fused h0.up");
  remark("other", true, "", "what: this is no graph");
  const std::vector<RemarkGroup> groups = GroupRemarks(plan);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].text, "fused h*.up");
  EXPECT_EQ(groups[0].count, 3);
  EXPECT_THAT(groups[0].graphs, ElementsAre("micro_step.first", "micro_step.only", "score"));
  EXPECT_TRUE(groups[0].trains());
  EXPECT_EQ(groups[1].text, "%9 has another reader");
  EXPECT_EQ(groups[1].count, 1);
  EXPECT_EQ(groups[2].text, "what: this is no graph");
  EXPECT_FALSE(groups[2].trains());
}

}  // namespace
}  // namespace gptc
