#ifndef VMATTEST_TESTS_FAKES_FORWARDING_HOST_TPM_H_
#define VMATTEST_TESTS_FAKES_FORWARDING_HOST_TPM_H_

#include "tpm/host_tpm.h"

namespace vmattest::testing {

// Passes every call on: for tests that change one of them.
class ForwardingHostTpm : public tpm::HostTpm {
 public:
  explicit ForwardingHostTpm(tpm::HostTpm& tpm) : tpm_(tpm) {}

  absl::Status Provision() override { return tpm_.Provision(); }
  absl::StatusOr<evidence::HostIdentity> GetIdentity() override {
    return tpm_.GetIdentity();
  }
  absl::StatusOr<tpm::Quote> MakeQuote(KeyPurpose purpose,
                                       ByteView data) override {
    return tpm_.MakeQuote(purpose, data);
  }
  absl::StatusOr<TpmClock> ReadClock() override { return tpm_.ReadClock(); }
  absl::StatusOr<std::vector<tpm::KeyEpoch>> ListKeys() override {
    return tpm_.ListKeys();
  }
  absl::StatusOr<evidence::KeyCertification> RotateKey(
      KeyPurpose purpose) override {
    return tpm_.RotateKey(purpose);
  }
  absl::Status RetireKey(KeyPurpose purpose, uint32_t epoch) override {
    return tpm_.RetireKey(purpose, epoch);
  }
  absl::StatusOr<evidence::KeyRevocation> RevokeKey(KeyPurpose purpose,
                                                    uint32_t epoch) override {
    return tpm_.RevokeKey(purpose, epoch);
  }
  absl::Status ReEnroll(std::string_view host_id) override {
    return tpm_.ReEnroll(host_id);
  }
  absl::StatusOr<SecretBytes> ActivateCredential(
      ByteView credential_blob, ByteView encrypted_secret) override {
    return tpm_.ActivateCredential(credential_blob, encrypted_secret);
  }
  absl::StatusOr<tpm::LogRegisters> ReadLogRegisters() override {
    return tpm_.ReadLogRegisters();
  }
  absl::Status ExtendLog(ByteView digest) override {
    return tpm_.ExtendLog(digest);
  }
  absl::Status WriteLogAnchor(uint64_t size, ByteView head) override {
    return tpm_.WriteLogAnchor(size, head);
  }
  absl::StatusOr<uint64_t> CountBoot() override { return tpm_.CountBoot(); }
  absl::StatusOr<evidence::AnchorCertification> CertifyLogAnchor(
      ByteView data) override {
    return tpm_.CertifyLogAnchor(data);
  }
  absl::StatusOr<tpm::SealRegisters> ReadSealRegisters() override {
    return tpm_.ReadSealRegisters();
  }
  absl::StatusOr<tpm::SealedSeed> SealSeed(std::string_view algorithm,
                                           KeyPurpose purpose, uint32_t epoch,
                                           ByteView public_key,
                                           const SecretBytes& seed,
                                           ByteView authority) override {
    return tpm_.SealSeed(algorithm, purpose, epoch, public_key, seed,
                         authority);
  }
  absl::StatusOr<SecretBytes> UnsealSeed(
      const tpm::SealedSeed& sealed, ByteView authority,
      std::span<const evidence::SealApproval> approvals) override {
    return tpm_.UnsealSeed(sealed, authority, approvals);
  }
  absl::StatusOr<uint64_t> RevokeApprovals() override {
    return tpm_.RevokeApprovals();
  }

 private:
  tpm::HostTpm& tpm_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FORWARDING_HOST_TPM_H_
