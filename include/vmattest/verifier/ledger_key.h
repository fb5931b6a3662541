#ifndef VMATTEST_VERIFIER_LEDGER_KEY_H_
#define VMATTEST_VERIFIER_LEDGER_KEY_H_

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmattest/types/verdict.h"
#include "vmattest/verifier/verifier.h"

// Checks offline that a host's TPM vouches for the key of the host's entries on
// a ledger (rule S33, docs/formats/ledger.md). Stateless; any thread.

namespace vmattest::verifier {

struct LedgerKeyAppraisal {
  Verdict verdict;
  bool genuine = false;  // as Appraisal's
  Claims claims;
  // Believe them only if the verdict is trusted.
  std::string log;                // origin of the ledger
  std::vector<uint8_t> key_spki;  // P-256, SubjectPublicKeyInfo
};

// The checks of Verify up to the statement's own; of `policy` what does not
// speak of a configuration. `log` is the ledger that the key must be for.
// FAILED_PRECONDITION: no anchors.
absl::StatusOr<LedgerKeyAppraisal> VerifyLedgerKey(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const Policy& policy, const std::string& log,
    std::chrono::sys_time<std::chrono::milliseconds> now);

// What a host-authorise or key-delegate entry says: ledger::ReadHostKey.
struct LedgerKeyBinding {
  std::string host_id;
  std::vector<uint8_t> key_spki;
  std::vector<uint8_t> evidence_hash;  // SHA-256
};
// The same for whoever reads such an entry and got the file from whomever: also
// that it is the one that the entry names, about the entry's host and key.
absl::StatusOr<LedgerKeyAppraisal> VerifyBoundLedgerKey(
    std::span<const uint8_t> evidence, const LedgerKeyBinding& binding,
    const Anchors& anchors, const Policy& policy, const std::string& log,
    std::chrono::sys_time<std::chrono::milliseconds> now);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_LEDGER_KEY_H_
