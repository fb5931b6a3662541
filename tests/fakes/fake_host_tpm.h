#ifndef VMATTEST_TESTS_FAKES_FAKE_HOST_TPM_H_
#define VMATTEST_TESTS_FAKES_FAKE_HOST_TPM_H_

#include <chrono>
#include <string>

#include "base/mutex.h"
#include "support/soft_tpm.h"
#include "tpm/host_tpm.h"

namespace vmattest::testing {

// A HostTpm without a TPM: its quotes verify like real ones. A host that has
// booted: PCRs 0 to 7 of the SHA-256 bank are measured, PCR 13 is zero.
// Callable from any thread; a slow quote blocks the others, as a TPM does.
class FakeHostTpm final : public tpm::HostTpm {
 public:
  explicit FakeHostTpm(std::string hostname = "host-1");

  absl::Status Provision() override EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::HostIdentity> GetIdentity() override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<tpm::Quote> MakeQuote(KeyPurpose purpose,
                                       ByteView qualifying_data) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<TpmClock> ReadClock() override EXCLUDES_LOCK(mutex_);

  // The TPM's clock stands still but for this.
  void AdvanceClock(std::chrono::milliseconds step) EXCLUDES_LOCK(mutex_);
  // PCR := SHA-256(PCR || digest).
  void ExtendPcr(uint32_t index, ByteView digest) EXCLUDES_LOCK(mutex_);
  void ZeroPcr(uint32_t index) EXCLUDES_LOCK(mutex_);
  // A power cycle: counters and PCRs as after a boot; the next call answers
  // UNAVAILABLE, as an adapter does that has to reopen.
  void Reset() EXCLUDES_LOCK(mutex_);
  // The next `count` calls, of any kind, answer `status`.
  void FailNextCalls(int count, absl::Status status) EXCLUDES_LOCK(mutex_);
  // Every quote takes this long.
  void SetQuoteDelay(std::chrono::milliseconds delay) EXCLUDES_LOCK(mutex_);

  // Quotes that were made, failed calls not counted.
  [[nodiscard]] int quotes_made() const EXCLUDES_LOCK(mutex_);
  [[nodiscard]] const SoftHost& host() const { return host_; }

 private:
  absl::Status TakeFailure() REQUIRES_LOCK(mutex_);
  void Boot() REQUIRES_LOCK(mutex_);

  const SoftHost host_;
  mutable Mutex mutex_;
  TpmClock clock_ GUARDED_BY(mutex_) = {
      .clock_ms = 60'000, .reset_count = 7, .restart_count = 0, .safe = true};
  PcrValues pcrs_ GUARDED_BY(mutex_);
  std::chrono::milliseconds delay_ GUARDED_BY(mutex_){0};
  int failures_left_ GUARDED_BY(mutex_) = 0;
  absl::Status failure_ GUARDED_BY(mutex_);
  bool provisioned_ GUARDED_BY(mutex_) = false;
  int quotes_made_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_HOST_TPM_H_
