#ifndef VMATTEST_FAKES_UNABLE_SIGNER_H_
#define VMATTEST_FAKES_UNABLE_SIGNER_H_

#include <string>
#include <vector>

#include "signing/signer.h"

namespace vmattest::testing {

// A signer that can do nothing but what a test makes it do.
class UnableSigner : public signing::Signer {
 public:
  absl::Status Seal(std::string, Bytes, MonotonicTime, SealDone) override {
    return absl::UnimplementedError("");
  }
  absl::Status ReadClock(MonotonicTime, ClockDone) override {
    return absl::UnimplementedError("");
  }
  absl::Status Append(eventlog::HostEvent, MonotonicTime, AppendDone) override {
    return absl::UnimplementedError("");
  }
  absl::Status CertifyLog(Bytes, MonotonicTime, CertifyDone) override {
    return absl::UnimplementedError("");
  }
  signing::SignerState state() const override { return {}; }
  signing::SignerStats stats() const override { return {}; }
  absl::StatusOr<std::vector<KeyStatus>> ListKeys() override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<uint32_t> RotateKey(KeyPurpose) override {
    return absl::UnimplementedError("");
  }
  absl::Status RevokeKey(KeyPurpose, uint32_t) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<SealStatus> GetSealStatus() override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<signing::PqState> ApproveBoot(
      std::vector<evidence::SealApproval>, bool, bool) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<SecretBytes> ActivateCredential(const Bytes&,
                                                 const Bytes&) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<std::string> ReEnroll(const std::string&) override {
    return absl::UnimplementedError("");
  }
};

}  // namespace vmattest::testing

#endif  // VMATTEST_FAKES_UNABLE_SIGNER_H_
