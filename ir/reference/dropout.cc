// Dropout: Srivastava et al. 2014, inverted: what is kept grows by 1/(1 - rate), and inference needs nothing.
#include "ir/base/philox.h"
#include "ir/base/scalars.h"
#include "ir/reference/loops.h"

namespace gptc {

void EvalDropout(const EvalContext& c) {
  const HostTensor &x = c.input(0), &scalars = c.input(1);
  double rate = c.attributes.Double("rate");
  uint32_t threshold = DropoutThreshold(rate);
  auto scalar = [&](Scalar which) { return static_cast<uint64_t>(static_cast<int64_t>(scalars.data[which])); };
  PhiloxKey key = DropoutKey(scalar(kSeed), c.attributes.Int("key"));
  int64_t sequences = x.type.shape[0], elements = sequences == 0 ? 0 : SizeOf(x) / sequences;
  for (int64_t b = 0; b < sequences; ++b) {
    for (int64_t i = 0; i < elements; ++i) {
      PhiloxCounter counter = DropoutCounter(i / 4, scalar(kFirstSequence) + b, scalar(kStep));
      bool keep = Philox4x32(counter, key)[i % 4] >= threshold;
      c.result().data[b * elements + i] = keep ? x.data[b * elements + i] / (1 - rate) : 0;
    }
  }
}

}  // namespace gptc
