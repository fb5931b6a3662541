#ifndef VMATTEST_EVIDENCE_STATEMENT_H_
#define VMATTEST_EVIDENCE_STATEMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/tpm.h"

// What is signed, as values; wire/ turns them into bytes and back.

namespace vmattest::evidence {

inline constexpr uint32_t kStatementVersion = 1;
inline constexpr size_t kMinNonceSize = 16;
inline constexpr size_t kMaxNonceSize = 64;

// What the host knew about itself when the statement was made.
struct HostState {
  uint64_t log_size = 0;  // records ever appended to the host event log
  Bytes log_head;         // eventlog/host_log_chain.h
  uint64_t unmanaged_vms = 0;
  friend bool operator==(const HostState&, const HostState&) = default;
};

struct StatementHeader {
  uint32_t version = kStatementVersion;
  std::string module_version;
  std::string host_id;
  std::string vm_uuid;
  std::string vm_name;
  Bytes nonce;
  int64_t time_unix_ms = 0;
  TpmClock measured_at;
  std::vector<std::string> signature_algorithms;
  uint64_t sequence = 0;
  std::optional<HostState> host;  // none: no event log is kept
};

struct CachedContent {
  std::string path;
  int64_t since_unix_ms = 0;
};

struct ConfigStatement {
  StatementHeader header;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  uint32_t schema_version = kConfigSchemaVersion;
  uint64_t leaf_count = 0;
  DigestBytes root;
  std::string salt_id;
  std::string content;   // "full", "chain", "none"
  std::string xml_kind;  // "live", "inactive"
  std::string vm_state;
  std::vector<CachedContent> cached;
  std::string inside = "none";  // "none", "inventory", "full"
};

// TPM2_NV_Certify by the AK over the index that holds the event log's size
// (uint64) and head (32 bytes), rule S1.
struct AnchorCertification {
  Bytes nv_public;     // TPM2B_NV_PUBLIC
  Bytes certify_info;  // TPMS_ATTEST
  Bytes signature;     // TPMT_SIGNATURE
};

// About the host's event log, whose size and head are in header.host.
struct HostLogStatement {
  StatementHeader header;
  uint32_t log_pcr = 0;
  uint64_t boot_record = 0;  // number of this boot's boot record
  AnchorCertification anchor;
  uint64_t boot_log_size = 0;   // bytes of the firmware's log; 0: there is none
  DigestBytes boot_log_digest;  // SHA-256; empty if there is none
};

inline constexpr size_t kBootListenerSize = 8;

// Which boot of its run a VM is in, as one who listens counts its resets.
struct Boot {
  Bytes listener;       // kBootListenerSize random bytes
  uint64_t resets = 0;  // that it heard of
  friend bool operator==(const Boot&, const Boot&) = default;
};
// Whether a VM was reset between the two. False also where nobody can tell.
inline bool IsResetBetween(const std::optional<Boot>& one,
                           const std::optional<Boot>& other) {
  return one && other && one->listener == other->listener &&
         one->resets != other->resets;
}

// One region of a memory snapshot.
struct RegionState {
  std::string name;
  std::string severity;  // "critical" ... "info"
  uint64_t bytes = 0;
  uint64_t pages = 0;
  DigestBytes selection;  // of the addresses
  DigestBytes root;       // of the pages' tree; empty: unavailable
  uint64_t unreadable_pages = 0;
  uint64_t torn_pages = 0;  // changed each time they were read
  std::string unavailable;  // why; empty: measured
  friend bool operator==(const RegionState&, const RegionState&) = default;
};

struct PhysicalRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // one past the last
  friend bool operator==(const PhysicalRange&, const PhysicalRange&) = default;
};

// What no healthy kernel shows (docs/linux-guests.md has the codes).
struct StateFinding {
  std::string code;
  std::string severity;  // "critical" ... "info"
  std::string element;
  std::string expected;
  std::string found;
  friend bool operator==(const StateFinding&, const StateFinding&) = default;
};

// A fact in words that a reboot of the same kernel does not change.
struct StateRecord {
  std::string name;  // "syscall/62"
  std::string text;  // "__x64_sys_kill"
  friend bool operator==(const StateRecord&, const StateRecord&) = default;
};

// What was in a VM's memory (docs/formats/snapshot.md).
struct StateStatement {
  StatementHeader header;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  uint32_t page_bytes = 4096;
  std::string policy_id;
  uint64_t policy_version = 0;
  DigestBytes policy_digest;  // SHA-256
  std::string cause;          // "request", "schedule", "guest"
  std::string vm_state;
  std::string consistency_requested;  // "live", "paused", "point-in-time"
  std::string consistency;            // what was reached
  uint64_t pause_us = 0;
  std::string reader;     // "shared-memory", "peek", "saved-state"...
  std::string map_proof;  // "2 of 3 sections proven, 1 empty"
  std::vector<PhysicalRange> ram;
  std::vector<RegionState> regions;
  DigestBytes root;  // StateRoot() of the regions
  DigestBytes code_hash;
  std::string code_hash_state;
  std::vector<std::string> notes;
  // "linux", or why nobody knows what the guest's bytes mean.
  std::string semantics;
  std::string kernel_release;
  Bytes kernel_build_id;
  std::vector<StateFinding> findings;  // critical ones first
  DigestBytes records_root;            // RecordsRoot(); empty: no records
  uint64_t record_count = 0;
  std::string cpu_state;     // "measured", or why it was not
  std::string run;           // which run of the VM; empty: not known
  std::optional<Boot> boot;  // within the run; none: not known
};

// The page digests that a snapshot's region roots are made of.
struct SnapshotPages {
  // Bytes with a name, which have pages of their own in their region.
  struct Part {
    std::string name;      // "module/virtio/text"
    std::string content;   // "text", "rodata", "ro_after_init", "data"
    uint64_t address = 0;  // virtual
    uint64_t size = 0;
    uint64_t absent = 0;  // bytes that were not in memory
    uint64_t first_page = 0;
    uint64_t pages = 0;
    // What begins where in it, for people; rising, not all.
    struct Symbol {
      uint64_t offset = 0;
      std::string name;
      friend bool operator==(const Symbol&, const Symbol&) = default;
    };
    std::vector<Symbol> symbols = {};
    friend bool operator==(const Part&, const Part&) = default;
  };
  struct Region {
    std::string name;
    std::vector<PhysicalRange> ranges;
    Bytes digests;
    std::vector<Part> parts;  // of a region with a meaning
  };
  std::vector<Region> regions;
  std::vector<StateRecord> records;  // by name
};

// RFC 6962 over one leaf for each region, all of whose fields it has. Pure; any
// thread.
DigestBytes StateRoot(HashAlgorithm algorithm,
                      const std::vector<RegionState>& regions);

// The same over one leaf for each record: its name and text, each after its
// length as uint32. Empty without records.
DigestBytes RecordsRoot(HashAlgorithm algorithm,
                        const std::vector<StateRecord>& records);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_STATEMENT_H_
