#include "tests/simt/simt.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/debugging/symbolize.h"
#include "ir/base/check.h"
#include "ir/base/text.h"
#include "tests/simt/asynchronous.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

// A thread that fails leaves its stack as it is, and what objects on it own.
extern "C" const char* __lsan_default_suppressions();
const char* __lsan_default_suppressions() { return "leak:FiberMain\n"; }
#endif

#ifndef __x86_64__
#error "the switch between fibers is written for x86-64"
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// Saves what a called function must keep, puts the stack pointer into *from, and goes on where `to` was saved.
extern "C" void gptc_simt_switch(void** from, void* to);
asm(R"(
.text
.globl gptc_simt_switch
.type gptc_simt_switch, @function
gptc_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size gptc_simt_switch, .-gptc_simt_switch
)");

namespace gptc::simt {
namespace {

constexpr size_t kPage = 4096;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStack = 512 << 10;
#else
constexpr size_t kStack = 128 << 10;
#endif
constexpr size_t kMostThreads = 1024;
constexpr size_t kGuard = 256;           // bytes around each shared array
constexpr uint16_t kGuardHalf = 0x7fff;  // NaN in every float type, other bits than the poison's
constexpr unsigned char kPoison = 0xff;  // NaN too

enum class State : uint8_t { kReady, kWaiting, kDone };

struct Fiber {
  void* stack_pointer = nullptr;
  uint3 thread = {};
  int index = 0;  // in the block
  State state = State::kDone;
  // Where it waits.
  const char* what = "";
  std::source_location where;
  unsigned mask = 0;
  Asynchronous asynchronous;
};

// Lanes that wait for each other.
struct Meeting {
  unsigned mask, arrived = 0;
  std::source_location where;
  const char* what;
  void* lanes[kLanes];
};

struct Warp {
  unsigned ready = 0;  // lanes that can run
  int rotation = 0;    // the lane that is tried first
  std::vector<Meeting> meetings;
};

struct SharedBlock {
  const void* site;
  unsigned char* data;
  size_t bytes;
};

// All that belongs to the grid that runs.
struct Machine {
  std::vector<Fiber> fibers = std::vector<Fiber>(kMostThreads);
  Warp warps[kMostThreads / kLanes];
  unsigned char* stacks = nullptr;  // kMostThreads times a guard page and a stack
  void* scheduler = nullptr;        // its stack pointer while a fiber runs
  Fiber* current = nullptr;
  const std::function<void()>* body = nullptr;
  const void* kernel = nullptr;
  int threads = 0;

  int at_barrier = 0, votes = 0, last_votes = 0;
  std::vector<unsigned char> arena_memory = std::vector<unsigned char>(kMostShared + (64 << 10));
  size_t arena_used = 0, static_bytes = 0, dynamic_bytes = 0;
  std::vector<SharedBlock> shared;
  std::string failure;
  uint32_t seed = 1;

#if defined(__SANITIZE_ADDRESS__)
  const void* host_stack = nullptr;
  size_t host_stack_bytes = 0;
  void* host_fake = nullptr;
#endif
};

Machine& machine() {
  static Machine* const machine = new Machine;
  return *machine;
}
// As a plain pointer for what runs at every switch.
Machine* m = nullptr;

uint32_t NextRandom() {  // xorshift
  uint32_t& x = m->seed;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return x;
}

unsigned char* StackOf(int index) { return m->stacks + static_cast<size_t>(index) * (kStack + kPage) + kPage; }

// ---- switching ----

void EnterFiber(Fiber& fiber) {
  m->current = &fiber;
  threadIdx = fiber.thread;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&m->host_fake, StackOf(fiber.index), kStack);
#endif
  gptc_simt_switch(&m->scheduler, fiber.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(m->host_fake, nullptr, nullptr);
#endif
}

void LeaveFiber() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, m->host_stack, m->host_stack_bytes);
#endif
  gptc_simt_switch(&m->current->stack_pointer, m->scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &m->host_stack, &m->host_stack_bytes);
#endif
}

void FiberMain() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &m->host_stack, &m->host_stack_bytes);
#endif
  (*m->body)();
  m->current->state = State::kDone;
  LeaveFiber();
  __builtin_unreachable();
}

void StartFiber(int index, uint3 thread) {
  Fiber& fiber = m->fibers[index];
  fiber.thread = thread;
  fiber.index = index;
  fiber.state = State::kReady;
  fiber.asynchronous = {};
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(StackOf(index), kStack);
#endif
  // Stacks begin at different offsets in their pages: their hottest lines would share a few sets of the cache.
  const uintptr_t top = reinterpret_cast<uintptr_t>(StackOf(index)) + kStack - 64 - (index * 448 % kPage) / 16 * 16;
  // What gptc_simt_switch pops: six registers and where it returns to. A function begins 8 bytes off a multiple of 16.
  void** frame = reinterpret_cast<void**>(top - 8) - 7;
  std::fill(frame, frame + 6, nullptr);
  frame[6] = reinterpret_cast<void*>(&FiberMain);
  frame[7] = nullptr;
  fiber.stack_pointer = frame;
}

void Wait() {
  m->current->state = State::kWaiting;
  LeaveFiber();
}

// ---- messages ----

std::string PlaceText(uint3 at) { return Cat("(", at.x, ", ", at.y, ", ", at.z, ")"); }

std::string PlaceText(const std::source_location& where) {
  std::string_view file = where.file_name();
  if (const size_t at = file.rfind("runtime/"); at != file.npos) file.remove_prefix(at);
  return Cat(file, ":", where.line());
}

std::string KernelText() {
  char name[512];
  if (m->kernel != nullptr && absl::Symbolize(m->kernel, name, sizeof name)) return Cat("kernel ", name);
  return "a kernel";
}

// "0-31, 64-95".
std::string RangesText(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    text += Cat(text.empty() ? "" : ", ", numbers[i]);
    if (end > i + 1) text += Cat("-", numbers[end - 1]);
    i = end;
  }
  return text;
}

// "threads 0-31 wait at __syncthreads (norm.cu:40); threads 32-63 have ended".
std::string WaitersText() {
  std::map<std::string, std::vector<int>> groups;
  for (int i = 0; i < m->threads; ++i) {
    const Fiber& fiber = m->fibers[i];
    if (fiber.state == State::kDone) {
      groups["have ended"].push_back(i);
    } else if (fiber.state == State::kWaiting) {
      std::string at = Cat("wait at ", fiber.what, " (", PlaceText(fiber.where), ")");
      if (fiber.mask != 0) {
        char mask[16];
        snprintf(mask, sizeof mask, "%08x", fiber.mask);
        at += Cat(" for the lanes ", mask);
      }
      groups[at].push_back(i);
    }
  }
  std::string text;
  for (const auto& [at, threads] : groups)
    text += Cat(text.empty() ? "" : "; ", "threads ", RangesText(threads), " ", at);
  return text;
}

void SetFailure(const std::string& message) {
  if (m->failure.empty()) m->failure = Cat(KernelText(), ", block ", PlaceText(blockIdx), ": ", message);
}

bool SamePlace(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// ---- shared memory ----

// The arena's first multiple of 1024.
unsigned char* Arena() {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(m->arena_memory.data());
  return m->arena_memory.data() + ((begin + 1023) / 1024 * 1024 - begin);
}

unsigned char* TakeShared(const void* site, size_t bytes, size_t alignment) {
  // The first multiple of the alignment behind a guard, and of nothing more.
  size_t at = (m->arena_used + kGuard + 2 * alignment - 1) / (2 * alignment) * (2 * alignment) + alignment;
  // A place a little behind the arena is enough for the sizes that are allowed, and an error for others.
  if (at + bytes + kGuard > m->arena_memory.size() - 1024) {
    Fail(Cat("asks for ", bytes, " bytes of shared memory more where ", m->static_bytes + m->dynamic_bytes,
             " are taken; a block may have ", kMostShared));
  }
  unsigned char* const data = Arena() + at;
  for (unsigned char* guard = Arena() + m->arena_used; guard < data; ++guard)
    *guard = reinterpret_cast<const unsigned char*>(&kGuardHalf)[reinterpret_cast<uintptr_t>(guard) % 2];
  for (unsigned char* guard = data + bytes; guard < data + bytes + kGuard; ++guard)
    *guard = reinterpret_cast<const unsigned char*>(&kGuardHalf)[reinterpret_cast<uintptr_t>(guard) % 2];
  std::memset(data, kPoison, bytes);
  m->arena_used = at + bytes;
  m->shared.push_back({site, data, bytes});
  return data;
}

void CheckGuards() {
  const unsigned char* from = Arena();
  for (size_t i = 0; i <= m->shared.size(); ++i) {
    const unsigned char* const to = i < m->shared.size() ? m->shared[i].data : Arena() + m->arena_used + kGuard;
    for (const unsigned char* guard = from; guard < to; ++guard) {
      if (*guard == reinterpret_cast<const unsigned char*>(&kGuardHalf)[reinterpret_cast<uintptr_t>(guard) % 2])
        continue;
      if (i > 0 && (i == m->shared.size() || guard - from < to - guard)) {
        const SharedBlock& before = m->shared[i - 1];
        SetFailure(Cat("wrote ", guard - before.data - before.bytes, " bytes behind the end of ",
                       before.site == nullptr ? "the dynamic shared memory" : "a shared array", " of ", before.bytes,
                       " bytes"));
      } else {
        SetFailure(Cat("wrote ", to - guard, " bytes before the begin of ",
                       m->shared[i].site == nullptr ? "the dynamic shared memory" : "a shared array", " of ",
                       m->shared[i].bytes, " bytes"));
      }
      return;
    }
    if (i < m->shared.size()) from = to + m->shared[i].bytes;
  }
}

// ---- memory faults ----

#if !defined(__SANITIZE_ADDRESS__)  // which reports them itself
alignas(16) unsigned char fault_stack[256 << 10], signal_stack[64 << 10];
const void* fault_address;

void FailByFault() {
  Fail(Cat("a memory fault", fault_address == nullptr ? " (perhaps an access of 16 bytes that is not aligned)" : "",
           " at address ", reinterpret_cast<uintptr_t>(fault_address)));
}

// Goes on in FailByFault on a stack of its own.
void OnFault(int signal, siginfo_t* info, void* context) {
  if (m == nullptr || m->current == nullptr) {
    ::signal(signal, SIG_DFL);
    return;
  }
  fault_address = info->si_addr;
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  registers[REG_RSP] = reinterpret_cast<greg_t>(fault_stack + sizeof fault_stack - 64 - 8);
  registers[REG_RIP] = reinterpret_cast<greg_t>(&FailByFault);
}

void CatchFaults() {
  stack_t alternative = {};
  alternative.ss_sp = signal_stack;
  alternative.ss_size = sizeof signal_stack;
  sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = &OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
}
#else
void CatchFaults() {}
#endif

void Prepare() {
  if (m != nullptr) return;
  m = &machine();
  const size_t bytes = kMostThreads * (kStack + kPage);
  void* const stacks = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(stacks != MAP_FAILED, "no memory for the stacks of fibers");
  m->stacks = static_cast<unsigned char*>(stacks);
  for (size_t i = 0; i < kMostThreads; ++i) mprotect(m->stacks + i * (kStack + kPage), kPage, PROT_NONE);
  CatchFaults();
}

// ---- the grid ----

// Runs fibers until all have ended or none can go on.
void RunBlock() {
  const int warps = (m->threads + kLanes - 1) / kLanes;
  int order[kMostThreads / kLanes];
  for (int i = 0; i < warps; ++i) {
    const int j = static_cast<int>(NextRandom() % static_cast<uint32_t>(i + 1));
    order[i] = order[j];
    order[j] = i;
    m->warps[i].rotation = static_cast<int>(NextRandom() % kLanes);
  }
  for (bool ran = true; ran;) {
    ran = false;
    for (int w = 0; w < warps; ++w) {
      Warp& warp = m->warps[order[w]];
      while (warp.ready != 0) {
        const unsigned r = static_cast<unsigned>(warp.rotation);
        const unsigned turned = warp.ready >> r | (r == 0 ? 0 : warp.ready << (kLanes - r));
        const unsigned lane = (static_cast<unsigned>(__builtin_ctz(turned)) + r) % kLanes;
        warp.ready &= ~(1u << lane);
        EnterFiber(m->fibers[order[w] * kLanes + static_cast<int>(lane)]);
        if (!m->failure.empty()) return;
        ran = true;
      }
    }
  }
}

void RunBlockAt(uint3 at, size_t shared_bytes) {
  blockIdx = at;
  m->at_barrier = m->votes = 0;
  m->arena_used = m->static_bytes = 0;
  m->dynamic_bytes = shared_bytes;
  m->shared.clear();
  TakeShared(nullptr, shared_bytes, 1024);
  int index = 0;
  for (unsigned z = 0; z < blockDim.z; ++z) {
    for (unsigned y = 0; y < blockDim.y; ++y) {
      for (unsigned x = 0; x < blockDim.x; ++x) StartFiber(index++, {x, y, z});
    }
  }
  for (int w = 0; w * kLanes < m->threads; ++w) {
    const int lanes = std::min(kLanes, m->threads - w * kLanes);
    m->warps[w].ready = lanes == kLanes ? ~0u : (1u << lanes) - 1;
    m->warps[w].meetings.clear();
  }
  RunBlock();
  m->current = nullptr;
  if (!m->failure.empty()) return;
  if (std::any_of(m->fibers.begin(), m->fibers.begin() + m->threads,
                  [](const Fiber& fiber) { return fiber.state != State::kDone; })) {
    return SetFailure(Cat("threads wait for others that do not come: ", WaitersText()));
  }
  CheckGuards();
}

std::string LaunchError(dim3 grid, dim3 block, size_t shared_bytes) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMostThreads || block.z > 64)
    return Cat("cannot be launched in blocks of ", block.x, " x ", block.y, " x ", block.z, " threads");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return Cat("cannot be launched as a grid of ", grid.x, " x ", grid.y, " x ", grid.z, " blocks");
  if (shared_bytes > kMostShared) return Cat("cannot be launched with ", shared_bytes, " bytes of shared memory");
  return "";
}

}  // namespace

void Fail(const std::string& message) {
  CHECK(m != nullptr && m->current != nullptr, message);
  SetFailure(Cat("thread ", PlaceText(m->current->thread), ": ", message));
  LeaveFiber();
  __builtin_unreachable();
}

void SetOrder(uint32_t seed) {
  Prepare();
  m->seed = 2654435761u * (seed + 1) | 1;
}

std::string RunGrid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body, const void* kernel) {
  Prepare();
  CHECK(m->current == nullptr, "a kernel launches a kernel");
  m->failure.clear();
  m->kernel = kernel;
  if (const std::string error = LaunchError(grid, block, shared_bytes); !error.empty())
    return Cat(KernelText(), " ", error);
  m->body = &body;
  m->threads = static_cast<int>(block.x * block.y * block.z);
  blockDim = block;
  gridDim = grid;
  // Every second grid from its end.
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const bool backwards = NextRandom() % 2 == 0;
  for (uint64_t i = 0; i < blocks && m->failure.empty(); ++i) {
    const uint64_t at = backwards ? blocks - 1 - i : i;
    RunBlockAt({static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)},
               shared_bytes);
  }
  return std::exchange(m->failure, "");
}

int Lane() { return m->current->index % kLanes; }

void MeetWarp(const char* what, unsigned mask, void* lane, Complete complete, std::source_location where) {
  Fiber& fiber = *m->current;
  Warp& warp = m->warps[fiber.index / kLanes];
  const unsigned own = 1u << Lane();
  if ((mask & own) == 0) Fail(Cat(what, " (", PlaceText(where), ") is called with a mask without the calling lane"));
  Meeting* meeting = nullptr;
  for (Meeting& other : warp.meetings) {
    if (other.mask == mask) meeting = &other;
  }
  if (meeting == nullptr) {
    warp.meetings.push_back({.mask = mask, .where = where, .what = what, .lanes = {}});
    meeting = &warp.meetings.back();
  }
  if (!SamePlace(meeting->where, where)) {
    Fail(Cat("is at ", what, " (", PlaceText(where), ") while lanes of its warp wait for it at ", meeting->what, " (",
             PlaceText(meeting->where), ")"));
  }
  meeting->arrived |= own;
  meeting->lanes[Lane()] = lane;
  if (meeting->arrived != mask) {
    fiber.what = what;
    fiber.where = where;
    fiber.mask = mask;
    return Wait();
  }
  if (complete != nullptr) complete(meeting->lanes, mask);
  *meeting = warp.meetings.back();
  warp.meetings.pop_back();
  for (unsigned others = mask & ~own; others != 0; others &= others - 1)
    m->fibers[fiber.index / kLanes * kLanes + __builtin_ctz(others)].state = State::kReady;
  warp.ready |= mask & ~own;
}

int MeetBlock(const char* what, bool vote, std::source_location where) {
  Fiber& fiber = *m->current;
  fiber.what = what;
  fiber.where = where;
  fiber.mask = 0;
  m->votes += vote ? 1 : 0;
  if (++m->at_barrier < m->threads) {
    Wait();
    return m->last_votes;
  }
  fiber.state = State::kWaiting;
  for (int i = 0; i < m->threads; ++i) {
    if (!SamePlace(m->fibers[i].where, where)) Fail(Cat("threads wait at different barriers: ", WaitersText()));
  }
  for (int i = 0; i < m->threads; ++i) m->fibers[i].state = State::kReady;
  for (int w = 0; w * kLanes < m->threads; ++w) {
    const int lanes = std::min(kLanes, m->threads - w * kLanes);
    m->warps[w].ready = lanes == kLanes ? ~0u : (1u << lanes) - 1;
  }
  m->warps[fiber.index / kLanes].ready &= ~(1u << Lane());
  m->at_barrier = 0;
  m->last_votes = std::exchange(m->votes, 0);
  // Not always the last to arrive goes on first.
  if (NextRandom() % 2 == 0) {
    m->warps[fiber.index / kLanes].ready |= 1u << Lane();
    LeaveFiber();
  }
  return m->last_votes;
}

void* SharedBytes(const void* site, size_t bytes, size_t alignment) {
  for (const SharedBlock& block : m->shared) {
    if (block.site == site) return block.data;
  }
  m->static_bytes += bytes;
  if (m->static_bytes > kMostStaticShared) {
    Fail(Cat("declares ", m->static_bytes, " bytes of shared arrays; a block may have ", kMostStaticShared,
             " and must ask for more at the launch"));
  }
  if (m->static_bytes + m->dynamic_bytes > kMostShared)
    Fail(Cat("has ", m->static_bytes + m->dynamic_bytes, " bytes of shared memory; a block may have ", kMostShared));
  return TakeShared(site, bytes, alignment);
}

unsigned char* DynamicShared() { return m->shared.front().data; }

bool IsShared(const void* address, size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(address);
  return std::any_of(m->shared.begin(), m->shared.end(), [&](const SharedBlock& block) {
    return at >= block.data && at + bytes <= block.data + block.bytes;
  });
}

Asynchronous& AsynchronousOfFiber() { return m->current->asynchronous; }

void Poison(void* data, size_t bytes) { std::memset(data, kPoison, bytes); }

}  // namespace gptc::simt
