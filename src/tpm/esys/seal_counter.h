#ifndef VMATTEST_TPM_ESYS_SEAL_COUNTER_H_
#define VMATTEST_TPM_ESYS_SEAL_COUNTER_H_

#include <tss2/tss2_esys.h>

#include <cstdint>
#include <utility>

#include "tpm/esys/esys_seal.h"

namespace vmattest::tpm {

// The NV counter that approvals are limited by, opened for one use: its Name
// is asked anew each time, and the TPM refuses commands with a wrong one.
// `tools` must outlive it.
class SealCounter {
 public:
  // FAILED_PRECONDITION: it is not there.
  static absl::StatusOr<SealCounter> Open(const SealTools& tools);
  SealCounter(SealCounter&& other) noexcept
      : tools_(other.tools_),
        index_(std::exchange(other.index_, ESYS_TR_NONE)) {}
  SealCounter& operator=(SealCounter&& other) = delete;
  ~SealCounter();

  // With its authorisation set.
  [[nodiscard]] ESYS_TR get() const { return index_; }
  [[nodiscard]] absl::StatusOr<uint64_t> Read() const;
  [[nodiscard]] absl::StatusOr<Bytes> Name() const;
  [[nodiscard]] absl::Status Increment() const;
  // FAILED_PRECONDITION: an index that is not ours.
  [[nodiscard]] absl::StatusOr<bool> HasCounted() const;

 private:
  SealCounter(const SealTools& tools, ESYS_TR index)
      : tools_(&tools), index_(index) {}

  const SealTools* tools_;
  ESYS_TR index_;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_SEAL_COUNTER_H_
