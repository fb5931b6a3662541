#include "daemon/ledger_key_evidence.h"

#include <utility>

#include "attestor/await.h"
#include "crypto/digest.h"
#include "evidence/evidence.h"
#include "evidence/ledger_key.h"
#include "wire/codec.h"
#include "wire/ledger_key_codec.h"

namespace vmattest::daemon {
namespace {

constexpr size_t kNonceSize = 32;

}  // namespace

absl::StatusOr<Bytes> LedgerKeyEvidence::Make(const std::string& log,
                                              const Bytes& key_spki,
                                              MonotonicTime deadline) {
  evidence::LedgerKeyStatement statement{
      .header = {}, .log = log, .key_spki = key_spki};
  statement.header.nonce = RandomBytes(kNonceSize);
  ASSIGN_OR_RETURN(
      statement.header.measured_at,
      attestor::Await<absl::StatusOr<TpmClock>>(deadline, [&](auto done) {
        return signer_.ReadClock(deadline, std::move(done));
      }));
  evidence::StatementHeader header = statement.header;
  ASSIGN_OR_RETURN(
      attestor::SealedStatement sealed,
      attestor::Await<absl::StatusOr<attestor::SealedStatement>>(
          deadline, [&](auto done) {
            sealer_.Seal(
                evidence::kLedgerKeyPayloadType, std::move(header),
                [statement](const evidence::StatementHeader& full) mutable {
                  statement.header = full;
                  return wire::EncodeLedgerKeyStatement(statement);
                },
                deadline, std::move(done));
            return absl::OkStatus();
          }));
  evidence::Evidence evidence;
  evidence.envelope = std::move(sealed.envelope);
  evidence.keys = std::move(sealed.keys);
  return wire::EncodeEvidence(evidence);
}

}  // namespace vmattest::daemon
