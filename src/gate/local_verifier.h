#ifndef VMATTEST_GATE_LOCAL_VERIFIER_H_
#define VMATTEST_GATE_LOCAL_VERIFIER_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "document/document.h"
#include "evidence/host_identity.h"
#include "gate/launch_verifier.h"
#include "reference/reference.h"
#include "token/ear.h"
#include "vmattest/verifier/verifier.h"

namespace vmattest::gate {

// The verifier of a host that has no other: references from a folder, signed by
// approvers; the only host that it believes is this one, pinned by the identity
// that its own signer tells. It protects the VMs from changes of their
// configuration and files, not from this host's administrator. Callable from
// any thread.
class LocalVerifier final : public LaunchVerifier {
 public:
  struct Options {
    std::filesystem::path references;  // a folder of signed documents
    std::filesystem::path approvers;   // a folder of public keys
    std::function<std::optional<evidence::HostIdentity>()> identity;
  };
  LocalVerifier(token::TokenSigner signer, const Clock& clock, Options options)
      : signer_(std::move(signer)),
        clock_(clock),
        options_(std::move(options)) {}

  // UNAVAILABLE: the host's identity is not known yet.
  absl::StatusOr<std::string> Appraise(const Request& request,
                                       MonotonicTime deadline) override
      EXCLUDES_LOCK(mutex_);
  // Reads the folder; documents that nobody signed are left to the caller to
  // refuse. Appraise uses what was read last.
  absl::StatusOr<HostPolicy> GetHostPolicy(
      const std::vector<std::string>& vm_uuids, MonotonicTime deadline) override
      EXCLUDES_LOCK(mutex_);
  [[nodiscard]] std::vector<token::VerificationKey> keys() const {
    return signer_.keys();
  }

 private:
  absl::StatusOr<std::shared_ptr<const verifier::Anchors>> OwnAnchors()
      EXCLUDES_LOCK(mutex_);

  const token::TokenSigner signer_;
  const Clock& clock_;
  const Options options_;
  Mutex mutex_;
  std::shared_ptr<const std::vector<reference::Reference>> references_
      GUARDED_BY(mutex_) =
          std::make_shared<const std::vector<reference::Reference>>();
  // Of the identity beside it: checking one takes a while.
  std::string pinned_ GUARDED_BY(mutex_);
  std::shared_ptr<const verifier::Anchors> anchors_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LOCAL_VERIFIER_H_
