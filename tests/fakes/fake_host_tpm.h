#ifndef VMATTEST_TESTS_FAKES_FAKE_HOST_TPM_H_
#define VMATTEST_TESTS_FAKES_FAKE_HOST_TPM_H_

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "support/soft_tpm.h"
#include "tpm/host_tpm.h"

namespace vmattest::testing {

// A HostTpm without a TPM: what it signs verifies like the real thing. A host
// that has booted: PCRs 0 to 7 of the SHA-256 bank are measured, PCR 13, the
// log's, is zero. It outlives whoever uses it, as a TPM outlives a daemon.
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

  absl::StatusOr<std::vector<tpm::KeyEpoch>> ListKeys() override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::KeyCertification> RotateKey(
      KeyPurpose purpose) override EXCLUDES_LOCK(mutex_);
  absl::Status RetireKey(KeyPurpose purpose, uint32_t epoch) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::KeyRevocation> RevokeKey(KeyPurpose purpose,
                                                    uint32_t epoch) override
      EXCLUDES_LOCK(mutex_);
  absl::Status ReEnroll(std::string_view host_id) override
      EXCLUDES_LOCK(mutex_);

  absl::StatusOr<SecretBytes> ActivateCredential(
      ByteView credential_blob, ByteView encrypted_secret) override
      EXCLUDES_LOCK(mutex_);

  absl::StatusOr<tpm::LogRegisters> ReadLogRegisters() override
      EXCLUDES_LOCK(mutex_);
  absl::Status ExtendLog(ByteView digest) override EXCLUDES_LOCK(mutex_);
  absl::Status WriteLogAnchor(uint64_t size, ByteView head) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<uint64_t> CountBoot() override EXCLUDES_LOCK(mutex_);
  absl::StatusOr<evidence::AnchorCertification> CertifyLogAnchor(
      ByteView qualifying_data) override EXCLUDES_LOCK(mutex_);

  absl::StatusOr<tpm::SealRegisters> ReadSealRegisters() override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<tpm::SealedSeed> SealSeed(std::string_view algorithm,
                                           KeyPurpose purpose, uint32_t epoch,
                                           ByteView public_key,
                                           const SecretBytes& seed,
                                           ByteView authority) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<SecretBytes> UnsealSeed(
      const tpm::SealedSeed& sealed, ByteView authority,
      std::span<const evidence::SealApproval> approvals) override
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<uint64_t> RevokeApprovals() override EXCLUDES_LOCK(mutex_);

  // The TPM's clock stands still but for this.
  void AdvanceClock(std::chrono::milliseconds step) EXCLUDES_LOCK(mutex_);
  // Where KeyEpoch::since_unix_ms comes from; the system's until told.
  void UseClock(const Clock& clock) EXCLUDES_LOCK(mutex_);
  // PCR := SHA-256(PCR || digest).
  void ExtendPcr(uint32_t index, ByteView digest) EXCLUDES_LOCK(mutex_);
  void ZeroPcr(uint32_t index) EXCLUDES_LOCK(mutex_);
  void SetPcr(uint32_t index, Bytes value) EXCLUDES_LOCK(mutex_);
  [[nodiscard]] Bytes pcr(uint32_t index) const EXCLUDES_LOCK(mutex_);
  // A power cycle: counters and PCRs as after a boot; the next call answers
  // UNAVAILABLE, as an adapter does that has to reopen.
  void Reset() EXCLUDES_LOCK(mutex_);
  // The log's NV index is gone, as the owner can make it.
  void UndefineLogAnchor() EXCLUDES_LOCK(mutex_);
  // Sets the anchor, as the owner can: another size or head.
  void ForgeLogAnchor(uint64_t size, Bytes head) EXCLUDES_LOCK(mutex_);
  // TPM2_Clear: no key, seed or index survives; asks for re-enrolment.
  void Clear() EXCLUDES_LOCK(mutex_);
  // The next `count` calls, of any kind, answer `status`.
  void FailNextCalls(int count, absl::Status status) EXCLUDES_LOCK(mutex_);
  // Every quote takes this long.
  void SetQuoteDelay(std::chrono::milliseconds delay) EXCLUDES_LOCK(mutex_);

  // Quotes, anchor writes that were made, failed calls not counted.
  [[nodiscard]] int quotes_made() const EXCLUDES_LOCK(mutex_);
  [[nodiscard]] int anchor_writes() const EXCLUDES_LOCK(mutex_);
  // Of the TPM as it is now; valid for the fake's life, also after Clear().
  [[nodiscard]] const SoftHost& host() const EXCLUDES_LOCK(mutex_);

 private:
  struct Epoch {
    SoftKey key;
    tpm::KeyEpoch info;
    std::optional<evidence::KeyRevocation> revocation;
  };
  struct Anchor {
    tpm::LogRegisters::Anchor state = tpm::LogRegisters::Anchor::kUndefined;
    uint64_t size = 0;
    Bytes head;
  };

  absl::Status Ready() REQUIRES_LOCK(mutex_);
  absl::Status TakeFailure() REQUIRES_LOCK(mutex_);
  void Boot() REQUIRES_LOCK(mutex_);
  void Enrol() REQUIRES_LOCK(mutex_);
  [[nodiscard]] int64_t NowUnixMs() const REQUIRES_LOCK(mutex_);
  [[nodiscard]] evidence::Attest AttestBy(const SoftKey& signer, uint16_t type,
                                          ByteView extra_data) const
      REQUIRES_LOCK(mutex_);
  absl::StatusOr<Epoch*> FindKey(KeyPurpose purpose, uint32_t epoch)
      REQUIRES_LOCK(mutex_);
  Epoch& AddEpoch(KeyPurpose purpose, SoftKey key) REQUIRES_LOCK(mutex_);
  [[nodiscard]] PcrValues BootPcrs() const REQUIRES_LOCK(mutex_);
  [[nodiscard]] Bytes LogIndexPublic() const REQUIRES_LOCK(mutex_);
  [[nodiscard]] Bytes SealCounterName() const REQUIRES_LOCK(mutex_);
  [[nodiscard]] absl::Status Fits(const evidence::SealApproval& approval,
                                  KeyPurpose purpose, ByteView authority) const
      REQUIRES_LOCK(mutex_);

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<SoftHost>> hosts_ GUARDED_BY(mutex_);
  std::map<KeyPurpose, std::vector<Epoch>> keys_ GUARDED_BY(mutex_);
  TpmClock clock_ GUARDED_BY(mutex_) = {
      .clock_ms = 60'000, .reset_count = 7, .restart_count = 0, .safe = true};
  PcrValues pcrs_ GUARDED_BY(mutex_);
  Anchor anchor_ GUARDED_BY(mutex_);
  uint64_t boot_count_ GUARDED_BY(mutex_) = 0;
  uint64_t seal_counter_ GUARDED_BY(mutex_) = 0;
  std::map<Bytes, Bytes> seeds_ GUARDED_BY(mutex_);  // by private area
  const Clock* wall_ GUARDED_BY(mutex_) = nullptr;
  std::chrono::milliseconds delay_ GUARDED_BY(mutex_){0};
  int failures_left_ GUARDED_BY(mutex_) = 0;
  absl::Status failure_ GUARDED_BY(mutex_);
  bool provisioned_ GUARDED_BY(mutex_) = false;
  bool cleared_ GUARDED_BY(mutex_) = false;
  int quotes_made_ GUARDED_BY(mutex_) = 0;
  int anchor_writes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_HOST_TPM_H_
