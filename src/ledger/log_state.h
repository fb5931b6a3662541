#ifndef VMATTEST_LEDGER_LOG_STATE_H_
#define VMATTEST_LEDGER_LOG_STATE_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/ecdsa.h"
#include "ledger/entry.h"
#include "ledger/entry_signature.h"
#include "trust/fold.h"
#include "vmattest/types/verdict.h"

namespace vmattest::ledger {

struct Writer {
  Bytes key_spki;  // empty: a document's signer
  std::shared_ptr<const EcVerifier> key;
  uint64_t generation = 0;  // index of the entry that named the key
  int64_t not_after_unix_ms = 0;
  bool revoked = false;
  std::string witness_vkey;
  Bytes ek_fingerprint;
  uint64_t sequence = 0;
  Bytes last_hash;
  // The newest, for retries: sequence, hash, index.
  struct Recent {
    uint64_t sequence = 0;
    Bytes hash;
    uint64_t index = 0;
  };
  std::deque<Recent> recent;
};

// What the records say so far, and whether another one may follow: the rules
// of docs/formats/ledger.md, the same on write and on read. One thread at a
// time.
class LogState {
 public:
  explicit LogState(LogPolicy policy);

  [[nodiscard]] WriterKey KeyFor(const Entry& entry) const;

  // Everything else, for an entry that would be record size() at `time_ms`.
  // `key`: what its signature was checked with.
  [[nodiscard]] std::optional<Reason> Check(const Entry& entry,
                                            const WriterKey& key,
                                            int64_t time_ms) const;
  // The index of a retry: the writer's entry of that sequence, byte for byte.
  [[nodiscard]] std::optional<uint64_t> FindRetry(const Entry& entry) const;
  // What two entries of one batch must not share: writers, VMs, hosts; "*":
  // everything.
  [[nodiscard]] static std::vector<std::string> Touches(const Entry& entry);

  // Only what Check() let through.
  void Apply(const Entry& entry, int64_t time_ms);

  void Witnessed(uint64_t size) { fold_.Witnessed(size); }
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] int64_t time_ms() const { return time_ms_; }
  [[nodiscard]] const trust::Fold& fold() const { return fold_; }
  [[nodiscard]] const Writer* FindWriter(const std::string& writer) const;
  [[nodiscard]] const std::map<std::string, Writer>& writers() const {
    return writers_;
  }
  [[nodiscard]] const LogPolicy& policy() const { return policy_; }

  // Hash of the newest entry about the VM; empty: none.
  [[nodiscard]] Bytes NewestOf(const Uuid& vm) const;
  // Indexes of records about the VM below `before`, newest first.
  [[nodiscard]] std::vector<uint64_t> History(const Uuid& vm, uint64_t before,
                                              size_t limit) const;

  // All of it as keys and values, by key, as if everything were witnessed: what
  // every reader of the same records gets.
  using Item = trust::Fold::Item;
  [[nodiscard]] std::vector<Item> Items() const;
  // RFC 6962 root over them (state-root entries).
  [[nodiscard]] static Bytes RootOf(const std::vector<Item>& items);
  [[nodiscard]] Bytes StateRoot() const { return RootOf(Items()); }
  // Makes a new state the one that gave `items` after `size` records. VMs'
  // histories begin there. INVALID_ARGUMENT names the key that is malformed;
  // the object is of no use then.
  absl::Status Restore(uint64_t size, const std::vector<Item>& items);

 private:
  struct VmChain {
    Bytes newest;
    std::vector<uint64_t> indexes;
  };
  using Refusal = std::optional<Reason>;

  [[nodiscard]] Refusal CheckWriter(const Entry& entry, const WriterKey& key,
                                    int64_t time_ms) const;
  [[nodiscard]] Refusal CheckLinks(const Entry& entry) const;
  [[nodiscard]] Refusal CheckHostEntry(const Entry& entry,
                                       int64_t time_ms) const;
  [[nodiscard]] Refusal CheckBatch(const Entry& entry, int64_t time_ms) const;
  [[nodiscard]] Refusal CheckMigration(const Entry& entry) const;
  [[nodiscard]] Refusal CheckDocument(const Entry& entry) const;
  [[nodiscard]] Refusal CheckAuthorise(const Entry& entry) const;
  [[nodiscard]] Refusal CheckRegister(const Entry& entry) const;
  [[nodiscard]] Refusal CheckHome(const std::string& vm_id,
                                  const std::string& host) const;
  // Of an EK or of disks, in one size.
  static Bytes NameOf(const std::string& identity);
  [[nodiscard]] bool IsLate(const Entry& entry, int64_t time_ms) const;
  void ApplyWriter(const Entry& entry, Writer& writer) const;
  void ApplyHostEntry(const Entry& entry, trust::At at);
  void ApplyRefusedLaunch(const v1::LedgerEntryBody& body, trust::At at);
  void ApplyDocument(const Entry& entry, trust::At at);
  void ApplyRegister(const v1::LedgerVmRegister& message, trust::At at);
  void SetKey(const std::string& host, const std::string& spki,
              int64_t not_after);
  absl::Status RestoreItem(const std::string& key, ByteView value);
  absl::Status RestoreLog(const std::string& key, ByteView value);

  const LogPolicy policy_;
  uint64_t size_ = 0;
  int64_t time_ms_ = 0;
  trust::Fold fold_;
  std::map<std::string, Writer> writers_;
  std::map<Uuid, VmChain> chains_;
  std::map<Bytes, Uuid> by_ek_;  // by NameOf(), as the next
  std::map<Bytes, Uuid> by_lineage_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_LOG_STATE_H_
