// A plan's remarks as people want to read them: the same remark about the four clones of micro_step and about every
// layer of the model is one, with a count.
#ifndef GPTC_FRONTENDS_GPTC_REMARKS_H_
#define GPTC_FRONTENDS_GPTC_REMARKS_H_

#include <string>
#include <string_view>
#include <vector>

#include "runtime/plan/plan.h"

namespace gptc {

struct RemarkGroup {
  std::string pass;
  bool done = true;
  std::string location;
  std::string text;   // without the graph's name; "h*.projection" where it is about several layers
  int64_t count = 0;  // places of the model: those of the graph that has most of them
  std::vector<std::string> graphs;

  // "micro_step": any of its clones, or the loss graph that it is made of, is among the graphs.
  bool trains() const;
};

// In the order of first appearance, which is the pipeline's.
std::vector<RemarkGroup> GroupRemarks(const plan::PlanT& plan);

// Layer and value numbers as stars: "h3.qkv.weight" -> "h*.qkv.weight", "%gelu_12" -> "%gelu_*", "%7" -> "%*".
std::string WithoutNumbers(std::string_view text);

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTC_REMARKS_H_
