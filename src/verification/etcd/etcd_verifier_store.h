#ifndef VMATTEST_VERIFICATION_ETCD_ETCD_VERIFIER_STORE_H_
#define VMATTEST_VERIFICATION_ETCD_ETCD_VERIFIER_STORE_H_

#include <map>
#include <memory>
#include <string>

#include "verification/etcd/table.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// The verifier's memory in etcd, shared by several verifiers; where what lies
// says docs/formats/verifier-etcd.md. Callable from any thread; changes of all
// processes happen one after the other. Beside the errors of VerifierStore
// those of etcd::KeyValues; UNAVAILABLE and DEADLINE_EXCEEDED of a change mean
// that nobody knows whether it was done.
class EtcdVerifierStore final : public VerifierStore {
 public:
  // `etcd` and `clock` must outlive it. FAILED_PRECONDITION: written by a newer
  // version, or a move into it was not finished. Else KeyValues' errors.
  static absl::StatusOr<std::unique_ptr<EtcdVerifierStore>> Open(
      etcd::KeyValues& etcd, const EtcdTable::Options& options,
      const Clock& clock);

  // Takes over all that `from` has, into an empty store or one where such a
  // move was not finished: then that is removed first. Sequences, revisions
  // and documents stay as they are. FAILED_PRECONDITION: something is in it.
  // `progress`: decisions done, and of how many.
  using Progress = std::function<void(uint64_t, uint64_t)>;
  static absl::Status Import(etcd::KeyValues& etcd,
                             const EtcdTable::Options& options,
                             const Clock& clock, VerifierStore& from,
                             const Progress& progress);

  absl::StatusOr<std::optional<HostEntry>> FindHost(
      const std::string& host_id) override;
  absl::StatusOr<std::optional<HostEntry>> FindHostOfClient(
      const std::string& client_identity) override;
  absl::StatusOr<std::vector<HostEntry>> FindHostsOfKeys(
      const Bytes& ak_name, const Bytes& ek_fingerprint) override;
  absl::StatusOr<std::vector<HostEntry>> ListHosts(const std::string& after,
                                                   size_t limit) override;
  absl::StatusOr<uint64_t> PutHost(const HostWrite& write) override;
  absl::StatusOr<uint64_t> RevocationEpoch() override;
  absl::Status PutPermit(const RebindPermit& permit) override;
  absl::StatusOr<std::optional<RebindPermit>> FindPermit(
      const std::string& host_id) override;

  // etcd_references.cc
  absl::StatusOr<uint64_t> PutReference(const ReferenceWrite& write) override;
  absl::StatusOr<std::optional<ReferenceEntry>> FindReference(
      const std::string& name, uint64_t revision) override;
  absl::StatusOr<std::vector<ReferenceEntry>> ListReferences(
      const std::string& after, size_t limit) override;
  absl::StatusOr<std::vector<uint64_t>> RevisionsOf(
      const std::string& name) override;
  absl::StatusOr<std::vector<ReferenceEntry>> ReferencesOf(
      const std::string& vm_uuid, int64_t now_unix_ms) override;
  absl::StatusOr<uint64_t> PutBreakGlass(const BreakGlassWrite& write) override;
  absl::StatusOr<std::vector<BreakGlassEntry>> BreakGlassOf(
      const std::string& host_id, int64_t now_unix_ms) override;

  // etcd_baselines.cc
  absl::StatusOr<uint64_t> PutBaseline(const BaselineWrite& write) override;
  absl::StatusOr<std::optional<BaselineEntry>> FindBaseline(
      const std::string& name, uint64_t revision) override;
  absl::StatusOr<Bytes> BaselinePages(const std::string& name,
                                      uint64_t revision) override;
  absl::StatusOr<std::vector<BaselineEntry>> ListBaselines(
      const std::string& after, size_t limit) override;
  absl::StatusOr<std::vector<uint64_t>> BaselineRevisions(
      const std::string& name) override;
  absl::StatusOr<std::optional<BaselineEntry>> BaselineOf(
      const std::string& vm_uuid, const std::string& subset) override;

  // etcd_decisions.cc
  absl::StatusOr<uint64_t> Append(const std::vector<DecisionWrite>& decisions,
                                  size_t keep_evidence) override;
  absl::StatusOr<std::vector<DecisionEntry>> Decisions(
      const DecisionQuery& query) override;
  absl::StatusOr<std::vector<DecisionEntry>> After(uint64_t sequence,
                                                   size_t limit) override;
  absl::StatusOr<std::optional<DecisionEntry>> FindDecision(
      uint64_t sequence) override;
  absl::StatusOr<uint64_t> LastSequence() override;
  absl::StatusOr<Bytes> FindEvidence(uint64_t sequence) override;
  absl::StatusOr<std::vector<RecordedEvidence>> NewestEvidence(
      const std::string& vm_uuid, uint64_t before_sequence,
      size_t limit) override;
  absl::StatusOr<std::vector<std::string>> VmsOfHost(const std::string& host_id,
                                                     size_t limit) override;
  // Also what was left behind by writers that died. What takes too long is
  // left for the next call.
  absl::Status Trim(size_t keep) override;

 private:
  using Read = EtcdTable::Read;
  using Change = EtcdTable::Change;
  struct Uploaded {
    internal::StoredBytes decision;
    internal::StoredBytes evidence;
  };

  EtcdVerifierStore(etcd::KeyValues& etcd, const EtcdTable::Options& options,
                    const Clock& clock)
      : table_(etcd, options, clock) {}

  absl::Status CheckFormat();
  absl::StatusOr<std::optional<HostEntry>> HostAt(const Read& at,
                                                  const std::string& host_id);
  absl::StatusOr<std::optional<HostEntry>> HostOfClientAt(
      const Read& at, const std::string& client_identity,
      const std::string& but);
  absl::Status CheckKeysAndClient(const Read& at, const HostEntry& host);
  static void WriteHost(const HostEntry& host,
                        const std::optional<HostEntry>& before, Change& change);
  absl::StatusOr<uint64_t> AddEvent(Change& change,
                                    const std::optional<DecisionEntry>& event,
                                    const internal::StoredBytes& stored);
  absl::StatusOr<internal::StoredBytes> UploadEvent(
      const std::optional<DecisionEntry>& event);

  absl::StatusOr<std::optional<ReferenceEntry>> NewestAt(
      const Read& at, const std::string& name);
  absl::Status CheckClaims(const Read& at, const ReferenceEntry& reference);
  absl::Status ClaimAhead(const ReferenceEntry& reference);
  static void WriteReference(const ReferenceEntry& reference,
                             const internal::StoredBytes& document,
                             Change& change);
  static void WriteOrder(const BreakGlassEntry& order, Change& change);
  absl::Status DropExpiredOrders(Change& change, int64_t now_unix_ms,
                                 const std::string& but);

  absl::StatusOr<std::optional<BaselineEntry>> NewestBaselineAt(
      const Read& at, const std::string& name);
  absl::StatusOr<Bytes> LoadAt(const Read& at, const std::string& key);
  absl::Status CheckBaselineClaims(const Read& at,
                                   const BaselineEntry& baseline);
  static void WriteBaseline(const BaselineEntry& baseline,
                            const std::optional<BaselineEntry>& before,
                            const internal::StoredBytes& document,
                            const internal::StoredBytes& pages, Change& change);

  absl::Status AddDecision(Change& change, const DecisionEntry& decision,
                           const internal::StoredBytes& stored);
  absl::Status AddEvidence(Change& change,
                           const std::vector<DecisionWrite>& decisions,
                           const std::vector<Uploaded>& uploads,
                           size_t keep_evidence);
  absl::Status DropEvidence(Change& change, const std::string& vm_uuid,
                            size_t keep);
  absl::Status DropOneEvidence(Change& change, uint64_t sequence);
  absl::StatusOr<DecisionEntry> ReadDecision(const Read& at,
                                             const std::string& key,
                                             const std::string& value);
  absl::StatusOr<std::vector<DecisionEntry>> AllDecisions(const Read& at,
                                                          uint64_t newest,
                                                          size_t limit);
  absl::StatusOr<std::optional<DecisionEntry>> DecisionAt(const Read& at,
                                                          uint64_t sequence);
  absl::StatusOr<std::optional<RecordedEvidence>> EvidenceAt(const Read& at,
                                                             uint64_t sequence);
  absl::Status TrimOne(Change& change, uint64_t sequence);

  // etcd_import.cc
  absl::Status Wipe();
  absl::Status ImportHosts(VerifierStore& from);
  absl::Status ImportReferences(VerifierStore& from);
  absl::Status ImportBaselines(VerifierStore& from);
  absl::Status ImportDecisions(VerifierStore& from, const Progress& progress);

  EtcdTable table_;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_ETCD_ETCD_VERIFIER_STORE_H_
