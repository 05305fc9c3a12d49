#include "frontends/gptc/input.h"

#include "ir/parser.h"
#include "ir/verifier.h"
#include "runtime/formats/files.h"

namespace gptc {

StatusOr<Module> ReadModule(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFileToString(path));
  if (text.size() >= 8 && text.compare(4, 4, "GPTP") == 0) {
    return InvalidArgument(path, ": this is a plan, already compiled; give the .graph file it was made from");
  }
  ASSIGN_OR_RETURN(Module module, ParseModule(std::move(text), path));
  RETURN_IF_ERROR(Annotate(Verify(module), path));
  return module;
}

bool LooksLikePlan(const std::string& path) {
  StatusOr<std::string> bytes = ReadFileToString(path);
  return bytes.ok() && bytes->size() >= 8 && bytes->compare(4, 4, "GPTP") == 0;
}

}  // namespace gptc
