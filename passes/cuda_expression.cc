#include "passes/cuda_expression.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <map>

#include "ir/base/text.h"

namespace gptc {

std::string FloatLiteral(double value) {
  const auto number = static_cast<float>(value);
  if (std::isnan(number)) return "FloatOfBits(0x7fc00000u)";
  if (std::isinf(number)) return number > 0 ? "FloatOfBits(0x7f800000u)" : "FloatOfBits(0xff800000u)";
  char shortest[32];
  std::string text(shortest, std::to_chars(std::begin(shortest), std::end(shortest), number).ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return number < 0 || text[0] == '-' ? Cat("(", text, "f)") : Cat(text, "f");
}

std::string AsFloat(const CudaValue& value) {
  return value.boolean ? Cat("static_cast<float>(", value.text, ")") : value.text;
}
std::string AsBool(const CudaValue& value) { return value.boolean ? value.text : Cat("(", value.text, " != 0.0f)"); }

std::string CudaExpression(const FusedInstruction& instruction, std::span<const CudaValue> operands, bool boolean) {
  const auto arg = [&](size_t i) { return AsFloat(operands[i]); };
  const auto as_result = [&](size_t i) { return boolean ? AsBool(operands[i]) : AsFloat(operands[i]); };
  // What is computed as a float, also where the result is a bool.
  const auto made = [&](std::string expression) {
    return boolean ? Cat("(", expression, ") != 0.0f") : std::move(expression);
  };
  const auto sign = [&](std::string_view between) { return made(Cat(arg(0), between, arg(1))); };
  const auto call = [&](std::string_view function) {
    return made(Cat(function, "(", Join(operands, ", ", [](const CudaValue& v) { return AsFloat(v); }), ")"));
  };
  const auto tanh = [&] { return instruction.attributes.Bool("tanh"); };
  switch (instruction.op) {
    case Op::kAdd:
      return sign(" + ");
    case Op::kSub:
      return sign(" - ");
    case Op::kMul:
      return sign(" * ");
    case Op::kDiv:
      return sign(" / ");
    case Op::kMax:
      return call("Max");
    case Op::kNeg:
      return made(Cat("-", arg(0)));
    case Op::kExp:
      return call("expf");
    case Op::kLog:
      return call("logf");
    case Op::kTanh:
      return call("tanhf");
    case Op::kErf:
      return call("erff");
    case Op::kSqrt:
      return call("sqrtf");
    case Op::kRsqrt:
      return made(Cat("1.0f / sqrtf(", arg(0), ")"));
    case Op::kGelu:
      return call(tanh() ? "GeluTanh" : "GeluErf");
    case Op::kGeluBackward:
      return call(tanh() ? "GeluTanhBackward" : "GeluErfBackward");
    case Op::kRelu:
      return call("Relu");
    case Op::kSigmoid:
      return call("Sigmoid");
    case Op::kSilu:
      return call("Silu");
    case Op::kSelect:
      return Cat(AsBool(operands[0]), " ? ", as_result(1), " : ", as_result(2));
    case Op::kCompare: {
      static const std::map<std::string, std::string> kSigns = {{"eq", " == "}, {"ne", " != "}, {"lt", " < "},
                                                                {"le", " <= "}, {"gt", " > "},  {"ge", " >= "}};
      return Cat(arg(0), kSigns.at(instruction.attributes.Str("direction")), arg(1));
    }
    default:  // cast, copy, broadcast
      return as_result(0);
  }
}

}  // namespace gptc
