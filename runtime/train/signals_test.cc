#include "runtime/train/signals.h"

#include <csignal>

#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(Signals, TheFirstSetsTheFlag) {
  for (int signal : {SIGINT, SIGTERM}) {
    InterruptGuard guard;
    EXPECT_FALSE(Interrupted());
    std::raise(signal);
    EXPECT_TRUE(Interrupted());
  }
}

TEST(Signals, TheSecondEndsTheProcess) {
  EXPECT_EXIT(
      {
        InterruptGuard guard;
        std::raise(SIGINT);
        std::raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST(Signals, WithoutAGuardTheyKill) {
  { InterruptGuard guard; }
  EXPECT_EXIT(std::raise(SIGINT), ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace gptc
