#ifndef VMATTEST_TESTS_FAKES_FAKE_VERIFIER_STORE_H_
#define VMATTEST_TESTS_FAKES_FAKE_VERIFIER_STORE_H_

#include <deque>
#include <map>

#include "base/mutex.h"
#include "verification/verifier_store.h"

namespace vmattest::testing {

// A verifier's store in memory. Callable from any thread.
class FakeVerifierStore final : public verification::VerifierStore {
 public:
  absl::StatusOr<std::optional<verification::HostEntry>> FindHost(
      const std::string& host_id) override;
  absl::StatusOr<std::optional<verification::HostEntry>> FindHostOfClient(
      const std::string& client_identity) override;
  absl::StatusOr<std::vector<verification::HostEntry>> FindHostsOfKeys(
      const Bytes& ak_name, const Bytes& ek_fingerprint) override;
  absl::StatusOr<std::vector<verification::HostEntry>> ListHosts(
      const std::string& after, size_t limit) override;
  absl::StatusOr<uint64_t> PutHost(const HostWrite& write) override;
  absl::StatusOr<uint64_t> RevocationEpoch() override;
  absl::Status PutPermit(const verification::RebindPermit& permit) override;
  absl::StatusOr<std::optional<verification::RebindPermit>> FindPermit(
      const std::string& host_id) override;

  absl::StatusOr<uint64_t> PutReference(const ReferenceWrite& write) override;
  absl::StatusOr<std::optional<verification::ReferenceEntry>> FindReference(
      const std::string& name, uint64_t revision) override;
  absl::StatusOr<std::vector<uint64_t>> RevisionsOf(
      const std::string& name) override;
  absl::StatusOr<std::vector<verification::ReferenceEntry>> ListReferences(
      const std::string& after, size_t limit) override;
  absl::StatusOr<std::vector<verification::ReferenceEntry>> ReferencesOf(
      const std::string& vm_uuid, int64_t now_unix_ms) override;

  absl::StatusOr<uint64_t> PutBaseline(const BaselineWrite& write) override;
  absl::StatusOr<std::optional<verification::BaselineEntry>> FindBaseline(
      const std::string& name, uint64_t revision) override;
  absl::StatusOr<Bytes> BaselinePages(const std::string& name,
                                      uint64_t revision) override;
  absl::StatusOr<std::vector<verification::BaselineEntry>> ListBaselines(
      const std::string& after, size_t limit) override;
  absl::StatusOr<std::vector<uint64_t>> BaselineRevisions(
      const std::string& name) override;
  absl::StatusOr<std::optional<verification::BaselineEntry>> BaselineOf(
      const std::string& vm_uuid, const std::string& subset) override;

  absl::StatusOr<uint64_t> PutBreakGlass(const BreakGlassWrite& write) override;
  absl::StatusOr<std::vector<verification::BreakGlassEntry>> BreakGlassOf(
      const std::string& host_id, int64_t now_unix_ms) override;

  absl::StatusOr<uint64_t> Append(const std::vector<DecisionWrite>& decisions,
                                  size_t keep_evidence) override;
  absl::StatusOr<std::vector<verification::DecisionEntry>> Decisions(
      const verification::DecisionQuery& query) override;
  absl::StatusOr<std::vector<verification::DecisionEntry>> After(
      uint64_t sequence, size_t limit) override;
  absl::StatusOr<std::optional<verification::DecisionEntry>> FindDecision(
      uint64_t sequence) override;
  absl::StatusOr<uint64_t> LastSequence() override;
  absl::StatusOr<Bytes> FindEvidence(uint64_t sequence) override;
  absl::StatusOr<std::vector<verification::RecordedEvidence>> NewestEvidence(
      const std::string& vm_uuid, uint64_t before_sequence,
      size_t limit) override;
  absl::StatusOr<std::vector<std::string>> VmsOfHost(const std::string& host_id,
                                                     size_t limit) override;
  absl::Status Trim(size_t keep) override;

  // Every call fails with it until it is OK again.
  void FailWith(const absl::Status& status);

 private:
  uint64_t Add(const verification::DecisionEntry& decision)
      REQUIRES_LOCK(mutex_);
  [[nodiscard]] const BaselineWrite* NewestBaseline(
      const std::string& name) const REQUIRES_LOCK(mutex_);
  [[nodiscard]] const verification::ReferenceEntry* Newest(
      const std::string& name) const REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  absl::Status failure_ GUARDED_BY(mutex_);
  std::map<std::string, verification::HostEntry> hosts_ GUARDED_BY(mutex_);
  std::map<std::string, verification::RebindPermit> permits_ GUARDED_BY(mutex_);
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;
  std::map<std::pair<std::string, uint64_t>, verification::ReferenceEntry>
      references_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, uint64_t>, BaselineWrite> baselines_
      GUARDED_BY(mutex_);
  std::map<Bytes, verification::BreakGlassEntry> orders_ GUARDED_BY(mutex_);
  std::map<uint64_t, verification::DecisionEntry> decisions_ GUARDED_BY(mutex_);
  std::map<uint64_t, verification::RecordedEvidence> evidence_
      GUARDED_BY(mutex_);
  uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_VERIFIER_STORE_H_
