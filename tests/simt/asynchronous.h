// What goes on beside a thread until it waits: copies into shared memory, and products of its warpgroup.
#ifndef GPTC_TESTS_SIMT_ASYNCHRONOUS_H_
#define GPTC_TESTS_SIMT_ASYNCHRONOUS_H_

#include <vector>

#include "tests/simt/ptx.h"

namespace gptc::simt {

// Of one fiber.
struct Asynchronous {
  struct Copy {
    void* to;
    const void* from;
    bool valid;
    int group;
  };
  std::vector<Copy> copies;
  int copy_groups = 0;  // committed

  struct Product {
    WarpgroupProduct product;
    int group;
  };
  // The sums that products add to: NaN for the thread until they are done.
  struct HeldSums {
    float* sums;
    std::vector<float> values;
  };
  std::vector<Product> products;
  std::vector<HeldSums> held;
  int product_groups = 0;  // committed

  bool shared_fenced = true;      // since copies arrived
  bool registers_fenced = false;  // since the last wait
};

// In simt.cc: that of the fiber which runs, and the making NaN of shared memory.
Asynchronous& AsynchronousOfFiber();
void Poison(void* data, size_t bytes);

}  // namespace gptc::simt

#endif  // GPTC_TESTS_SIMT_ASYNCHRONOUS_H_
