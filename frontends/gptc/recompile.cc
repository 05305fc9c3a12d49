#include "frontends/gptc/recompile.h"

#include <charconv>
#include <optional>

#include "ir/parser.h"
#include "ir/verifier.h"

namespace gptc {

StatusOr<CompileOptions> OptionsOf(const plan::PlanT& plan) {
  CompileOptions options{.dimensions = {}, .target = plan.target, .precision = plan.precision};
  for (const auto& dimension : plan.dimensions) options.dimensions.emplace_back(dimension->name, dimension->value);
  for (const auto& option : plan.options) {
    const std::string& value = option->value;
    if (option->key == "disable") {
      options.disabled.push_back(value);
    } else if (std::optional<DType> dtype = DTypeNamed(value); option->key == "residual" && dtype) {
      options.residual = *dtype;
    } else if (option->key == "memory_budget" || option->key == "loss_chunk") {
      int64_t& number = option->key == "loss_chunk" ? options.loss_chunk : options.memory_budget;
      if (std::from_chars(value.data(), value.data() + value.size(), number).ec != std::errc()) {
        return InvalidArgument("the plan's option ", option->key, " is '", value, "', not a number");
      }
    } else {
      return FailedPrecondition("the plan was compiled with an option that this compiler does not know: ", option->key,
                                " = ", value);
    }
  }
  return options;
}

StatusOr<Module> SourceOf(const plan::PlanT& plan) {
  ASSIGN_OR_RETURN(Module module, ParseModule(plan.source, plan.source_name));
  RETURN_IF_ERROR(Annotate(Verify(module), plan.source_name));
  return module;
}

}  // namespace gptc
