#ifndef VMATTEST_DAEMON_LEDGER_KEY_EVIDENCE_H_
#define VMATTEST_DAEMON_LEDGER_KEY_EVIDENCE_H_

#include <string>

#include "attestor/statement_sealer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "signing/signer.h"

namespace vmattest::daemon {

// Has the TPM vouch for the key of this host's entries on a ledger (rule S33):
// a statement by the `ledger` key, which the AK certified. Callable from any
// thread; blocks.
class LedgerKeyEvidence {
 public:
  // Both outlive it.
  LedgerKeyEvidence(signing::Signer& signer, const Clock& clock)
      : signer_(signer), sealer_(signer, clock, {}) {}

  // An evidence file. DEADLINE_EXCEEDED, UNAVAILABLE: no TPM yet.
  absl::StatusOr<Bytes> Make(const std::string& log, const Bytes& key_spki,
                             MonotonicTime deadline);

 private:
  signing::Signer& signer_;
  attestor::StatementSealer sealer_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_LEDGER_KEY_EVIDENCE_H_
