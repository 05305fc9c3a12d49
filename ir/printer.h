// Modules as text (docs/text_form.md). What passes Verify prints so that ParseModule reads it back and it prints the
// same, byte for byte. Anything else prints too, without a crash, for messages.
#ifndef GPTC_IR_PRINTER_H_
#define GPTC_IR_PRINTER_H_

#include <span>
#include <string>

#include "ir/module.h"

namespace gptc {

std::string PrintModule(const Module& module);
// One graph as it stands in its module, two spaces from the left.
std::string PrintGraph(const Module& module, const Graph& graph);
// One op on one line, without indentation, location and line end: "%y: f32[4, 64] = gelu %x {tanh = false}".
std::string PrintOp(const Module& module, const Graph& graph, const OpNode& node);
// How a text calls a value: "%x" of a result, "wte" of a state or an input.
std::string OperandText(const Graph& graph, Value value);
// "0.02", "1.0", "1e-05", "inf": never mistaken for an integer.
std::string DoubleText(double value);
// An attribute's value as it prints: 'true', '3', '[B, 12]'. `symbols` are the module's dimensions.
std::string AttributeText(const AttributeValue& value, AttributeType type, std::span<const std::string> symbols);

}  // namespace gptc

#endif  // GPTC_IR_PRINTER_H_
