// Graphs as pictures.
#ifndef GPTC_IR_DOT_H_
#define GPTC_IR_DOT_H_

#include <string>

#include "ir/module.h"

namespace gptc {

// Graphviz text of one graph, to be drawn by `dot -Tsvg`. Ops are boxes, coloured by family, with name and result
// types; states and inputs are ellipses; edges carry shapes, dashed ones are stores into states. Ops of a layer stand
// in a frame: those that read a state whose name has a part "h<number>", and those that follow from them.
std::string DotOfGraph(const Module& module, const Graph& graph);

}  // namespace gptc

#endif  // GPTC_IR_DOT_H_
