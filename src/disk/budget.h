#ifndef VMATTEST_DISK_BUDGET_H_
#define VMATTEST_DISK_BUDGET_H_

#include <chrono>
#include <cstdint>

#include "base/status.h"

namespace vmattest::disk {

// What looking at one disk may still cost. Everything that reads pays here, so
// a loop laid out by hostile data ends. One thread.
class Budget {
 public:
  Budget(std::chrono::milliseconds time, uint64_t bytes)
      : deadline_(std::chrono::steady_clock::now() + time), bytes_(bytes) {}

  // Pays for reading `bytes`. RESOURCE_EXHAUSTED: more than there is left, and
  // so will every later call. DEADLINE_EXCEEDED.
  [[nodiscard]] absl::Status Spend(uint64_t bytes);

  // Remembers the first failure of the disk itself, which ends the inspection:
  // C libraries in between report it as damage.
  void Fail(const absl::Status& failure);
  [[nodiscard]] const absl::Status& failure() const { return failure_; }

 private:
  const std::chrono::steady_clock::time_point deadline_;
  uint64_t bytes_;
  absl::Status failure_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_BUDGET_H_
