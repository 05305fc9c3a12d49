// fuzz N [SEED]: checks the random modules of N seeds, from SEED (default 1) on. Ends with 1 at the first that fails.
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/check_module.h"

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: fuzz N [SEED]\n");
    return 2;
  }
  uint64_t count = std::strtoull(argv[1], nullptr, 10), first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    gptc::Status status = gptc::CheckSeed(seed, static_cast<int>(seed % 40), seed % 16 == 0);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", gptc::Message(status).c_str());
      return 1;
    }
    if ((seed - first + 1) % 1000 == 0)
      std::fprintf(stderr, "%llu seeds\n", static_cast<unsigned long long>(seed - first + 1));
  }
  std::printf("%llu seeds agree\n", static_cast<unsigned long long>(count));
  return 0;
}
