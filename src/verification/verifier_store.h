#ifndef VMATTEST_VERIFICATION_VERIFIER_STORE_H_
#define VMATTEST_VERIFICATION_VERIFIER_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/uuid.h"
#include "vmattest/types/verdict.h"

namespace vmattest::verification {

struct HostEntry {
  // In the file: numbers are never given again.
  enum class State : uint8_t { kPending = 1, kEnrolled = 2, kRevoked = 3 };
  std::string host_id;
  State state = State::kPending;
  uint64_t revision = 0;        // of the entry, grows by one with each write
  std::string client_identity;  // URI SAN that enrolled it
  std::string hostname;
  std::string ek_trust;  // "certificate", "operator"; empty while pending
  Bytes ak_name;         // these two are never two hosts'
  Bytes ek_fingerprint;  // enrollment::EkFingerprint
  Bytes identity;        // wire::EncodeHostIdentity
  Bytes record;  // SignedDocument over a HostRecord; empty while pending
  int64_t since_unix_ms = 0;  // in this state
  std::string revocation_reason;
  friend bool operator==(const HostEntry&, const HostEntry&) = default;
};

// An operator's word that a host may come back with another AK, once.
struct RebindPermit {
  std::string host_id;
  Bytes ak_name;
  int64_t expires_unix_ms = 0;
  friend bool operator==(const RebindPermit&, const RebindPermit&) = default;
};

// One revision of a reference, as its approver signed it.
struct ReferenceEntry {
  std::string name;
  uint64_t revision = 0;
  std::string mode;                   // reference::ToString
  std::vector<std::string> vm_uuids;  // or "*"
  int64_t not_before_unix_ms = 0;
  int64_t not_after_unix_ms = 0;
  std::string approver;
  Bytes signer_key_id;
  int64_t stored_unix_ms = 0;
  Bytes document;  // the SignedDocument's bytes as they were received
  friend bool operator==(const ReferenceEntry&,
                         const ReferenceEntry&) = default;
};

// An order that lets one VM start on one host, as its approver signed it.
struct BreakGlassEntry {
  Bytes serial;
  std::string vm_uuid;
  std::string host_id;
  int64_t not_after_unix_ms = 0;
  int64_t stored_unix_ms = 0;
  Bytes document;
  friend bool operator==(const BreakGlassEntry&,
                         const BreakGlassEntry&) = default;
};

// One revision of a baseline of memory, as its approver signed it.
struct BaselineEntry {
  std::string name;
  uint64_t revision = 0;
  std::string subset;                 // "linux-kernel@1"
  std::vector<std::string> vm_uuids;  // sorted; or "*"
  int64_t not_before_unix_ms = 0;
  int64_t not_after_unix_ms = 0;
  std::string approver;
  Bytes signer_key_id;
  int64_t stored_unix_ms = 0;
  Bytes document;  // the SignedDocument's bytes as they were received
  friend bool operator==(const BaselineEntry&, const BaselineEntry&) = default;
};

// Something that happened, in one sequence: decisions, and changes of what
// decisions rest on.
struct DecisionEntry {
  // In the file: numbers are never given again.
  enum class Kind : uint8_t { kDecision = 1, kReference = 2, kHost = 3 };
  uint64_t sequence = 0;  // given by the store, gapless, from 1
  Kind kind = Kind::kDecision;
  int64_t time_unix_ms = 0;
  std::string vm_uuid;  // lower case; empty: about no single VM
  std::string vm_name;
  std::string host_id;
  bool trusted = false;
  bool genuine = false;  // the host really said it
  std::vector<Reason> reasons;
  std::vector<std::string> fixes;  // one for each reason
  std::string reference;           // "NAME@REVISION"
  Bytes root;
  std::string ear;
};

// As the API and the webhook call it.
constexpr std::string_view KindName(DecisionEntry::Kind kind) {
  switch (kind) {
    case DecisionEntry::Kind::kDecision:
      return "decision";
    case DecisionEntry::Kind::kReference:
      return "reference";
    case DecisionEntry::Kind::kHost:
      break;
  }
  return "host";
}

struct DecisionQuery {
  std::string vm_uuid;           // empty: of all
  uint64_t before_sequence = 0;  // 0: the newest
  bool refused_only = false;
  size_t limit = 100;
};

struct RecordedEvidence {
  uint64_t sequence = 0;  // of the decision about it
  std::string vm_uuid;
  bool trusted = false;
  Bytes evidence;
};

// What the verifier remembers. Challenges are not in it: they live minutes and
// die with the process. Durable: a call that returned OK survives a crash, and
// each call is done as a whole or not at all. Written so that several
// processes could share one (a store over etcd): whoever changes a host or a
// reference says which revision it has seen. Callable from any thread; blocks.
//   ABORTED: it changed meanwhile; read it again. DATA_LOSS: the store is
//   damaged. RESOURCE_EXHAUSTED: the disk is full.
class VerifierStore {
 public:
  virtual ~VerifierStore() = default;

  virtual absl::StatusOr<std::optional<HostEntry>> FindHost(
      const std::string& host_id) = 0;
  // That which is not revoked; else one that is.
  virtual absl::StatusOr<std::optional<HostEntry>> FindHostOfClient(
      const std::string& client_identity) = 0;
  // By the AK's name or the EK's fingerprint.
  virtual absl::StatusOr<std::vector<HostEntry>> FindHostsOfKeys(
      const Bytes& ak_name, const Bytes& ek_fingerprint) = 0;
  // By host id, those after `after`.
  virtual absl::StatusOr<std::vector<HostEntry>> ListHosts(
      const std::string& after, size_t limit) = 0;
  struct HostWrite {
    HostEntry host;             // with its new revision, that seen plus one
    bool spend_permit = false;  // and the host's permit is gone
    std::optional<DecisionEntry> event;
  };
  // ALREADY_EXISTS: the client identity has another host that is not revoked,
  // or another host has the AK or the EK. A write that makes a host revoked
  // raises the revocation epoch by one. Returns the event's sequence, 0
  // without one.
  virtual absl::StatusOr<uint64_t> PutHost(const HostWrite& write) = 0;
  virtual absl::StatusOr<uint64_t> RevocationEpoch() = 0;

  // One for each host; a newer one replaces it.
  virtual absl::Status PutPermit(const RebindPermit& permit) = 0;
  virtual absl::StatusOr<std::optional<RebindPermit>> FindPermit(
      const std::string& host_id) = 0;

  struct ReferenceWrite {
    ReferenceEntry reference;
    uint64_t seen_revision = 0;  // the newest of that name; 0: none
    std::optional<DecisionEntry> event;
  };
  // ALREADY_EXISTS: the newest revision of another name is about one of its
  // VMs. Returns the event's sequence, 0 without one.
  virtual absl::StatusOr<uint64_t> PutReference(
      const ReferenceWrite& write) = 0;
  // `revision` 0: the newest.
  virtual absl::StatusOr<std::optional<ReferenceEntry>> FindReference(
      const std::string& name, uint64_t revision) = 0;
  // Every revision that there is of a name, oldest first.
  virtual absl::StatusOr<std::vector<uint64_t>> RevisionsOf(
      const std::string& name) = 0;
  // The newest revision of each name, without its document, by name after
  // `after`.
  virtual absl::StatusOr<std::vector<ReferenceEntry>> ListReferences(
      const std::string& after, size_t limit) = 0;
  // Of each name that ever was about this VM (or "*"): the highest revision
  // that is valid then, without its document. It may not be about the VM any
  // more.
  virtual absl::StatusOr<std::vector<ReferenceEntry>> ReferencesOf(
      const std::string& vm_uuid, int64_t now_unix_ms) = 0;

  // A VM has one baseline of each subset: that of the newest revision that
  // names it.
  struct BaselineWrite {
    BaselineEntry baseline;
    Bytes pages;                 // a serialised SnapshotPages
    uint64_t seen_revision = 0;  // the newest of that name; 0: none
    std::optional<DecisionEntry> event;
  };
  static constexpr size_t kMostVmsOfBaseline = 48;
  // ALREADY_EXISTS: one of its VMs has another baseline of that subset.
  // INVALID_ARGUMENT: more VMs than kMostVmsOfBaseline. Returns the event's
  // sequence, 0 without one.
  virtual absl::StatusOr<uint64_t> PutBaseline(const BaselineWrite& write) = 0;
  // `revision` 0: the newest.
  virtual absl::StatusOr<std::optional<BaselineEntry>> FindBaseline(
      const std::string& name, uint64_t revision) = 0;
  // NOT_FOUND: there is no such revision.
  virtual absl::StatusOr<Bytes> BaselinePages(const std::string& name,
                                              uint64_t revision) = 0;
  // The newest revision of each name, without its document, by name after
  // `after`.
  virtual absl::StatusOr<std::vector<BaselineEntry>> ListBaselines(
      const std::string& after, size_t limit) = 0;
  virtual absl::StatusOr<std::vector<uint64_t>> BaselineRevisions(
      const std::string& name) = 0;
  // That of this very VM (or "*"), valid or not.
  virtual absl::StatusOr<std::optional<BaselineEntry>> BaselineOf(
      const std::string& vm_uuid, const std::string& subset) = 0;

  struct BreakGlassWrite {
    BreakGlassEntry order;
    size_t most = 0;  // of its host, that have not run out
    std::optional<DecisionEntry> event;
  };
  // Orders that had run out when this one came are dropped. ALREADY_EXISTS:
  // its serial is there. RESOURCE_EXHAUSTED: its host has `most`. Returns the
  // event's sequence, 0 without one.
  virtual absl::StatusOr<uint64_t> PutBreakGlass(
      const BreakGlassWrite& write) = 0;
  // Those that have not run out, by serial.
  virtual absl::StatusOr<std::vector<BreakGlassEntry>> BreakGlassOf(
      const std::string& host_id, int64_t now_unix_ms) = 0;

  struct DecisionWrite {
    DecisionEntry decision;
    Bytes evidence;  // kept with it; empty: none
  };
  // In this order. Evidence of each VM beyond the newest `keep_evidence` is
  // dropped. Returns the first sequence. INVALID_ARGUMENT: more than
  // kMostAtOnce, since a store over a network writes them at once.
  static constexpr size_t kMostAtOnce = 12;
  virtual absl::StatusOr<uint64_t> Append(
      const std::vector<DecisionWrite>& decisions, size_t keep_evidence) = 0;
  // Newest first.
  virtual absl::StatusOr<std::vector<DecisionEntry>> Decisions(
      const DecisionQuery& query) = 0;
  // Of every kind, oldest first.
  virtual absl::StatusOr<std::vector<DecisionEntry>> After(uint64_t sequence,
                                                           size_t limit) = 0;
  virtual absl::StatusOr<std::optional<DecisionEntry>> FindDecision(
      uint64_t sequence) = 0;
  virtual absl::StatusOr<uint64_t> LastSequence() = 0;
  // Empty: none is kept.
  virtual absl::StatusOr<Bytes> FindEvidence(uint64_t sequence) = 0;
  // Newest first; `vm_uuid` empty: of all.
  virtual absl::StatusOr<std::vector<RecordedEvidence>> NewestEvidence(
      const std::string& vm_uuid, uint64_t before_sequence, size_t limit) = 0;
  // VMs that genuine evidence of this host was about, among what is kept.
  virtual absl::StatusOr<std::vector<std::string>> VmsOfHost(
      const std::string& host_id, size_t limit) = 0;
  // Drops all but the newest `keep` decisions, and their evidence.
  virtual absl::Status Trim(size_t keep) = 0;

 protected:
  // kMostAtOnce, for Append().
  static absl::Status CheckCount(size_t decisions) {
    return decisions <= kMostAtOnce
               ? absl::OkStatus()
               : absl::InvalidArgumentError("too many decisions at once");
  }
  // kMostVmsOfBaseline, for PutBaseline().
  static absl::Status CheckVms(const BaselineEntry& baseline) {
    return baseline.vm_uuids.size() <= kMostVmsOfBaseline
               ? absl::OkStatus()
               : absl::InvalidArgumentError("a baseline of too many VMs");
  }
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_VERIFIER_STORE_H_
