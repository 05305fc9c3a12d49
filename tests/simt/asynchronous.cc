#include "tests/simt/asynchronous.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace gptc::simt {

void StartCopy16(void* shared, const void* global, bool valid) {
  if (!IsShared(shared, 16)) Fail("copies asynchronously to what is not shared memory");
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0) Fail("copies asynchronously to an address that is not aligned");
  if (valid && reinterpret_cast<uintptr_t>(global) % 16 != 0)
    Fail("copies asynchronously from an address that is not aligned");
  Poison(shared, 16);
  Asynchronous& own = AsynchronousOfFiber();
  own.copies.push_back({shared, global, valid, own.copy_groups});
}

void CommitCopies() { ++AsynchronousOfFiber().copy_groups; }

void WaitForCopies(int pending_groups) {
  Asynchronous& own = AsynchronousOfFiber();
  std::erase_if(own.copies, [&](const Asynchronous::Copy& copy) {
    if (copy.group >= own.copy_groups - pending_groups) return false;
    own.shared_fenced = false;
    if (copy.valid) {
      std::memcpy(copy.to, copy.from, 16);
    } else {
      std::memset(copy.to, 0, 16);
    }
    return true;
  });
}

void FenceShared() { AsynchronousOfFiber().shared_fenced = true; }
void FenceWarpgroup() { AsynchronousOfFiber().registers_fenced = true; }

void StartWarpgroupProduct(const WarpgroupProduct& product) {
  Asynchronous& own = AsynchronousOfFiber();
  if (!own.shared_fenced) Fail("starts a product of shared memory without a fence since the last copies arrived");
  if (!own.registers_fenced) Fail("starts a product without WarpgroupFence() since its registers were last its own");
  const bool is_held = std::any_of(own.held.begin(), own.held.end(),
                                   [&](const Asynchronous::HeldSums& held) { return held.sums == product.d; });
  if (!is_held) {
    constexpr int kSums = 32;  // of a thread
    own.held.push_back({product.d, std::vector<float>(product.d, product.d + kSums)});
    std::fill_n(product.d, kSums, std::nanf(""));
  }
  own.products.push_back({product, own.product_groups});
}

void CommitWarpgroupProducts() { ++AsynchronousOfFiber().product_groups; }

void WaitForWarpgroupProducts(int pending_groups, std::source_location where) {
  Asynchronous& own = AsynchronousOfFiber();
  own.registers_fenced = false;
  size_t done = 0;
  while (done < own.products.size() && own.products[done].group < own.product_groups - pending_groups) {
    WarpgroupProduct product = own.products[done++].product;
    const auto held = std::find_if(own.held.begin(), own.held.end(),
                                   [&](const Asynchronous::HeldSums& sums) { return sums.sums == product.d; });
    product.d = held->values.data();
    MeetWarp("WarpgroupWait", 0xffffffffu, &product, &CompleteWarpgroupProduct, where);
  }
  own.products.erase(own.products.begin(), own.products.begin() + static_cast<std::ptrdiff_t>(done));
  std::erase_if(own.held, [&](const Asynchronous::HeldSums& held) {
    const bool waits = std::any_of(own.products.begin(), own.products.end(), [&](const Asynchronous::Product& started) {
      return started.product.d == held.sums;
    });
    if (!waits) std::copy(held.values.begin(), held.values.end(), held.sums);
    return !waits;
  });
}

}  // namespace gptc::simt
