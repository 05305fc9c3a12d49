// Ctrl-C and SIGTERM as a flag that the training loop asks for between steps.
#ifndef GPTC_RUNTIME_TRAIN_SIGNALS_H_
#define GPTC_RUNTIME_TRAIN_SIGNALS_H_

namespace gptc {

// While one lives, the first SIGINT or SIGTERM only sets the flag; the second of either ends the process at once. One
// at a time; what handled the signals before is put back at the end, and the flag is cleared at the start.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();
};

// Whether a signal came since the guard was made.
bool Interrupted();

}  // namespace gptc

#endif  // GPTC_RUNTIME_TRAIN_SIGNALS_H_
