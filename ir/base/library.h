// NVIDIA's libraries, opened at run time: one program runs with them and without.
#ifndef GPTC_IR_BASE_LIBRARY_H_
#define GPTC_IR_BASE_LIBRARY_H_

#include <initializer_list>
#include <string>
#include <string_view>

#include "ir/base/status.h"

namespace gptc {

// The first of `names` ("libcudnn.so.9") that can be loaded, a handle for FindSymbol; never closed. Each is looked for
// in
//   1. the folders of $GPTC_LIB_PATH, separated by ':'
//   2. the loader's path: LD_LIBRARY_PATH, ld.so.cache; a library that is loaded already is found here, too
//   3. /usr/local/cuda/lib64
//   4. site-packages/nvidia/*/lib of the machine's Python: $VIRTUAL_ENV, $CONDA_PREFIX, ~/.local, that of the python3
//   in
//      $PATH, /usr/local, /usr
// NotFound says what was looked for and where; where a file was there but did not load, FailedPrecondition also says
// why. `what` is the library's name in it: "cuDNN".
StatusOr<void*> OpenLibrary(std::string_view what, std::initializer_list<const char*> names);

// The function `name` of an open library. NotFound where it has none: it is older than what we call.
StatusOr<void*> FindSymbol(std::string_view what, void* library, const char* name);

// The same, as the pointer that `function` is.
template <typename Function>
Status LoadFunction(std::string_view what, void* library, const char* name, Function*& function) {
  ASSIGN_OR_RETURN(void* const symbol, FindSymbol(what, library, name));
  function = reinterpret_cast<Function*>(symbol);
  return OkStatus();
}

// The file that an address of a loaded library comes from; "" where that is not known.
std::string FileOfSymbol(const void* symbol);

}  // namespace gptc

#endif  // GPTC_IR_BASE_LIBRARY_H_
