#include "disk/budget.h"

namespace vmattest::disk {

absl::Status Budget::Spend(uint64_t bytes) {
  RETURN_IF_ERROR(failure_);
  if (std::chrono::steady_clock::now() >= deadline_) {
    Fail(absl::DeadlineExceededError("looking into the disk took too long"));
    return failure_;
  }
  // Even nothing costs something: there may be very many of it.
  constexpr uint64_t kLeast = 512;
  const uint64_t price = bytes < kLeast ? kLeast : bytes;
  if (price > bytes_) {
    bytes_ = 0;
    return absl::ResourceExhaustedError("there is too much to read");
  }
  bytes_ -= price;
  return absl::OkStatus();
}

void Budget::Fail(const absl::Status& failure) {
  if (failure_.ok()) {
    failure_ = failure;
  }
}

}  // namespace vmattest::disk
