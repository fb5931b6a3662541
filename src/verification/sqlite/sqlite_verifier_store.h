#ifndef VMATTEST_VERIFICATION_SQLITE_SQLITE_VERIFIER_STORE_H_
#define VMATTEST_VERIFICATION_SQLITE_SQLITE_VERIFIER_STORE_H_

#include <filesystem>
#include <memory>

#include "base/mutex.h"
#include "verification/sqlite/schema.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// The verifier's memory in one SQLite file: write-ahead log, synchronous=FULL,
// so what was acknowledged survives a crash of process and machine. Callable
// from any thread; one at a time gets in.
class SqliteVerifierStore final : public VerifierStore {
 public:
  // Creates the file, or brings one of an older version up to date.
  //   DATA_LOSS            damaged, or not a vmattest verifier store
  //   FAILED_PRECONDITION  written by a newer version, or SQLite refuses a
  //                        setting that durability needs
  //   PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE (locked by somebody else)
  static absl::StatusOr<std::unique_ptr<SqliteVerifierStore>> Open(
      const std::filesystem::path& path);

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

  absl::StatusOr<uint64_t> PutReference(const ReferenceWrite& write) override;
  absl::StatusOr<std::optional<ReferenceEntry>> FindReference(
      const std::string& name, uint64_t revision) override;
  absl::StatusOr<std::vector<uint64_t>> RevisionsOf(
      const std::string& name) override;
  absl::StatusOr<std::vector<ReferenceEntry>> ListReferences(
      const std::string& after, size_t limit) override;
  absl::StatusOr<std::vector<ReferenceEntry>> ReferencesOf(
      const std::string& vm_uuid, int64_t now_unix_ms) override;

  absl::StatusOr<uint64_t> PutBreakGlass(const BreakGlassWrite& write) override;
  absl::StatusOr<std::vector<BreakGlassEntry>> BreakGlassOf(
      const std::string& host_id, int64_t now_unix_ms) override;

  // sqlite_baselines.cc
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

  // sqlite_decisions.cc
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
  absl::Status Trim(size_t keep) override;

 private:
  explicit SqliteVerifierStore(sqlite::Database database)
      : database_(std::move(database)) {}
  absl::StatusOr<std::optional<HostEntry>> OneHost(
      const sqlite::StatementHandle& statement, const std::string& key)
      REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::vector<HostEntry>> Hosts(sqlite::Query& query)
      REQUIRES_LOCK(mutex_);
  absl::Status CheckKeysAndClient(const HostEntry& host) REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::vector<ReferenceEntry>> References(sqlite::Query& query)
      REQUIRES_LOCK(mutex_);
  absl::Status AddClaims(ReferenceEntry& reference) REQUIRES_LOCK(mutex_);
  absl::Status CheckClaims(const ReferenceEntry& reference)
      REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::vector<BreakGlassEntry>> Orders(
      const std::string& host_id, int64_t now_unix_ms) REQUIRES_LOCK(mutex_);
  absl::Status CheckBaseline(const BaselineWrite& write) REQUIRES_LOCK(mutex_);
  absl::Status WriteBaseline(const BaselineWrite& write) REQUIRES_LOCK(mutex_);
  absl::StatusOr<uint64_t> AddDecision(const DecisionEntry& decision)
      REQUIRES_LOCK(mutex_);
  absl::StatusOr<uint64_t> AddEvent(const std::optional<DecisionEntry>& event)
      REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  sqlite::Database database_ GUARDED_BY(mutex_);
  // Destroyed before the database that they belong to.
  Statements statements_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_SQLITE_SQLITE_VERIFIER_STORE_H_
