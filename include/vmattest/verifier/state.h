#ifndef VMATTEST_VERIFIER_STATE_H_
#define VMATTEST_VERIFIER_STATE_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmattest/types/digest.h"
#include "vmattest/types/verdict.h"
#include "vmattest/verifier/verifier.h"

// Checks evidence of a VM's memory offline (docs/formats/snapshot.md). What the
// memory should hold is not decided here: a snapshot that is believed can be
// compared. Stateless; callable from any thread.

namespace vmattest::verifier {

struct StatePolicy {
  Policy evidence;  // expected_leaves and expected_root do not matter
  // Snapshot policies that count, "ID@VERSION", with their digests; absent: all
  // do. An empty digest stands for any.
  std::optional<std::map<std::string, DigestBytes>> approved_subsets;
  std::optional<DigestBytes> expected_root;
  // "paused" refuses "live"; "point-in-time" refuses both.
  std::string min_consistency = "live";
  // Regions without a measurement, pages that could not be read or never stood
  // still are refused.
  bool refuse_unavailable = false;
  // The guest's kernel by its build id, and its text by the code hash, as the
  // operator knows them.
  std::optional<std::vector<uint8_t>> kernel_build_id;
  std::optional<DigestBytes> code_hash;
  // Findings this bad ("info" ... "critical") or worse are refused; so is a
  // guest that nobody understood. Empty: none is.
  std::string refuse_findings;
};

struct StateRegionClaim {
  std::string name;
  std::string severity;
  uint64_t bytes = 0;
  uint64_t pages = 0;
  uint64_t unreadable_pages = 0;
  uint64_t torn_pages = 0;
  DigestBytes root;
  std::string unavailable;
};

// What no healthy kernel shows (docs/linux-guests.md).
struct StateFindingClaim {
  std::string code;
  std::string severity;
  std::string element;
  std::string expected;
  std::string found;
};

// Believe it only as Claims.
struct StateClaims {
  std::string subset;  // "linux-server@3"
  DigestBytes policy_digest;
  std::string cause;
  std::string consistency_requested;
  std::string consistency;
  uint64_t pause_us = 0;
  std::string reader;
  std::string map_proof;
  uint32_t page_bytes = 0;
  std::vector<StateRegionClaim> regions;
  DigestBytes code_hash;
  std::string code_hash_state;
  std::vector<std::string> notes;
  std::string semantics;  // "linux", or why its bytes have no meaning
  std::string kernel_release;
  std::vector<uint8_t> kernel_build_id;
  std::vector<StateFindingClaim> findings;  // critical ones first
  DigestBytes records_root;
  uint64_t record_count = 0;
  std::string cpu_state;
};

struct StateAppraisal {
  Verdict verdict;
  bool genuine = false;  // as Appraisal's
  Claims claims;         // `root` is the snapshot's
  StateClaims state;
};

// The checks of Verify, with the statement's own in place of a configuration's:
// fields, and the root over the regions. Bad evidence is a verdict with
// reasons, never an error. FAILED_PRECONDITION: no anchors. INVALID_ARGUMENT: a
// demand that is none.
absl::StatusOr<StateAppraisal> VerifyState(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const StatePolicy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_STATE_H_
