#ifndef VMATTEST_TESTS_SUPPORT_VERIFIER_RIG_H_
#define VMATTEST_TESTS_SUPPORT_VERIFIER_RIG_H_

#include <string>
#include <vector>

#include "fakes/fake_result_keys.h"
#include "fakes/fake_verifier_store.h"
#include "fakes/manual_clock.h"
#include "support/ek_pki.h"
#include "support/evidence_builder.h"
#include "support/soft_tpm.h"
#include "verification/appraiser.h"
#include "verification/host_registry.h"
#include "verification/order_book.h"
#include "verification/snapshot_comparer.h"

namespace vmattest::testing {

// A verifier over a store in memory, with hosts made in software, at the time
// of EvidenceBuilder's evidence. Its keys are ECDSA alone.
class VerifierRig {
 public:
  explicit VerifierRig(verification::VerifierStore* other_store = nullptr);

  // With a certificate of `manufacturer`, unless told otherwise.
  [[nodiscard]] evidence::HostIdentity IdentityOf(const SoftHost& host,
                                                  bool certificate = true);
  // Both steps, as an honest host does them.
  absl::StatusOr<verification::HostEntry> Enroll(
      const std::string& client, const SoftHost& host,
      const evidence::HostIdentity& identity);
  absl::StatusOr<verification::HostEntry> Enroll(const std::string& client,
                                                 const SoftHost& host) {
    return Enroll(client, host, IdentityOf(host));
  }

  // What the evidence says, as a reference of revision `revision`.
  [[nodiscard]] reference::Reference Learned(const EvidenceBuilder& builder,
                                             const std::string& name,
                                             uint64_t revision = 1) const;
  [[nodiscard]] Bytes Sign(reference::Reference reference) const;

  static bool AllVms(const std::string&) { return true; }
  absl::StatusOr<verification::Appraiser::Result> Appraise(
      const Bytes& evidence);

  static constexpr int64_t kNow = EvidenceBuilder::kTimeUnixMs + 1'000;
  ManualClock clock{kNow};
  EkPki manufacturer;
  Current<enrollment::EkRoots> ek_roots;
  const document::PrivateKey authority;
  const document::PrivateKey approver;
  Current<std::vector<document::PublicKey>> approvers;
  FakeResultKeys keys;
  FakeVerifierStore fake_store;
  verification::VerifierStore& store;
  verification::DecisionLog log;
  verification::HostAnchors anchors;
  verification::ReferenceBook references;
  verification::OrderBook orders;
  verification::HostRegistry hosts;
  verification::Appraiser appraiser;
  verification::BaselineBook baselines{{store, log, clock, approvers}};
  verification::SnapshotComparer comparer{
      {store, anchors, baselines, log, keys, clock}, {}};
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_VERIFIER_RIG_H_
