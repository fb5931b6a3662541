#ifndef VMATTEST_TESTS_FAKES_FAKE_LAUNCH_VERIFIER_H_
#define VMATTEST_TESTS_FAKES_FAKE_LAUNCH_VERIFIER_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "crypto/ec_private_key.h"
#include "gate/launch_verifier.h"
#include "token/ear.h"

namespace vmattest::testing {

// A verifier that says what it is told to, in tokens that are genuine unless a
// test changes them. Callable from any thread, once set up.
class FakeLaunchVerifier final : public gate::LaunchVerifier {
 public:
  explicit FakeLaunchVerifier(const Clock& clock)
      : clock_(clock), signer_(EcPrivateKey::Generate()) {}

  absl::StatusOr<std::string> Appraise(const Request& request,
                                       MonotonicTime /*deadline*/) override {
    {
      const MutexLock lock(mutex_);
      ++asked_;
    }
    if (!failure.ok()) {
      return failure;
    }
    token::Ear ear;
    ear.profile = std::string(token::kProfile);
    ear.developer = "vmattest";
    ear.build = "test";
    ear.issued = clock_.Now();
    ear.expires = clock_.Now() + std::chrono::hours(1);
    ear.nonce = request.nonce;
    token::Submodule& config = ear.submodules["config"];
    config.vm_uuid = request.vm_uuid;
    config.status = refusals.empty() ? token::Tier::kAffirming
                                     : token::Tier::kContraindicated;
    config.trust_vector["configuration"] =
        static_cast<token::TrustClaim>(refusals.empty() ? 2 : 96);
    config.reasons = refusals;
    if (change) {
      change(ear);
    }
    return signer_.SignEs256(ear);
  }
  absl::StatusOr<HostPolicy> GetHostPolicy(const std::vector<std::string>&,
                                           MonotonicTime) override {
    return policy;
  }

  [[nodiscard]] std::vector<token::VerificationKey> keys() const {
    return signer_.keys();
  }
  [[nodiscard]] int asked() const {
    const MutexLock lock(mutex_);
    return asked_;
  }

  absl::Status failure;
  std::vector<Reason> refusals;
  std::function<void(token::Ear&)> change;
  HostPolicy policy;

 private:
  const Clock& clock_;
  const token::TokenSigner signer_;
  mutable Mutex mutex_;
  int asked_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_LAUNCH_VERIFIER_H_
