#ifndef VMATTEST_LEDGER_ENTRY_H_
#define VMATTEST_LEDGER_ENTRY_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/uuid.h"
#include "crypto/ec_private_key.h"
#include "document/document.h"
#include "vmattest/v1/ledger_entry.pb.h"

// Entries of the ledger as bytes (docs/formats/ledger.md). Bytes are kept as
// they were received and never encoded again. Parsing is strict as in wire/.
// Callable from any thread.

namespace vmattest::ledger {

inline constexpr std::string_view kEntryPayloadType =
    "application/vnd.vmattest.ledger-entry.v1+protobuf";
inline constexpr size_t kMaxRecordSize = 65'535;
// Leaves room for the record around it.
inline constexpr size_t kMaxEntrySize = kMaxRecordSize - 32;

// A VM that an entry is about, and the hash of the one before about it.
struct VmLink {
  Uuid vm;
  Bytes previous;
};
// Of a body that is to be signed; Entry has those of one that was. By the VMs'
// ids. INVALID_ARGUMENT: an id that is no UUID, or twice the same.
absl::StatusOr<std::vector<VmLink>> VmLinks(const v1::LedgerEntryBody& body);

struct Entry {
  Bytes bytes;  // LedgerEntry
  Bytes hash;   // SHA-256 of `bytes`
  bool by_document = false;
  Bytes body_bytes;
  Bytes signature;      // of a host's
  Bytes document;       // of the others
  Bytes signer_key_id;  // of the document, unchecked
  v1::LedgerEntryBody body;
  std::vector<VmLink> links;  // no VM twice

  // Who counts the sequence: the host's id, or "key/HEX" of a document's.
  [[nodiscard]] std::string Writer() const;
};
// INVALID_ARGUMENT, naming the field. Signatures are not looked at.
absl::StatusOr<Entry> ParseEntry(Bytes bytes);
inline absl::StatusOr<Entry> ParseEntry(ByteView bytes) {
  return ParseEntry(ToBytes(bytes));
}

// What a host's signature is over.
Bytes HostEntryDigest(ByteView body);
Bytes SignHostEntry(const v1::LedgerEntryBody& body, const EcPrivateKey& key);
// Fills in the header. INTERNAL, UNAVAILABLE as document::PrivateKey::Sign.
absl::StatusOr<Bytes> SignAuthorityEntry(v1::LedgerEntryBody body,
                                         const document::PrivateKey& key);

struct Record {
  int64_t time_unix_ms = 0;
  Bytes entry;
};
absl::StatusOr<Record> ParseRecord(ByteView bytes);
Bytes EncodeRecord(int64_t time_unix_ms, ByteView entry);

// Of a `vm_id` field: shorter ones are filled up, ParseEntry refuses them.
Uuid VmOf(const std::string& vm_id);

// "attest-batch"; for people and metrics.
std::string_view TypeName(const v1::LedgerEntryBody& body);

// Leaves of a batch's results root: vm_id || outcome || evidence_hash, sorted.
struct VmResult {
  Uuid vm;
  v1::LedgerOutcome outcome = v1::LEDGER_OUTCOME_UNSPECIFIED;
  Bytes evidence_hash;
};
Bytes ResultsRoot(std::vector<VmResult> results);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_ENTRY_H_
