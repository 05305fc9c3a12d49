// States that passes derive from parameters: casts, packed copies. Made once an update and read by every micro-batch.
#ifndef GPTC_PASSES_DERIVED_STATES_H_
#define GPTC_PASSES_DERIVED_STATES_H_

#include <functional>
#include <vector>

#include "ir/builder.h"
#include "ir/module.h"

namespace gptc {

struct DerivedState {
  int state = -1;      // index into Module::states, of kind derived
  int parameter = -1;  // what it is made from
  // Emits the op that makes it from the parameter's value.
  std::function<Tensor(GraphBuilder&, Tensor)> make;
  Location location;  // of its first reader; stands for the ops in `prepare`
};

// From now on every graph that stores a parameter stores what is derived from it, right behind the op that makes the
// new value; and `prepare`, added where the module has none, makes all of them.
Status KeepDerived(Module& module, const std::vector<DerivedState>& derived);

// Removes the derived states that only their own stores mention.
Status DropUnreadDerived(Module& module);

}  // namespace gptc

#endif  // GPTC_PASSES_DERIVED_STATES_H_
