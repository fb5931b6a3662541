#include "daemon/ledger_key_evidence.h"

#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "crypto/digest.h"
#include "evidence/evidence.h"
#include "evidence/ledger_key.h"
#include "wire/codec.h"
#include "wire/ledger_key_codec.h"

namespace vmattest::daemon {
namespace {

constexpr size_t kNonceSize = 32;

// The answer outlives a caller that did not wait for it.
template <class T>
struct Answer {
  Mutex mutex;
  CondVar changed;
  std::optional<T> value GUARDED_BY(mutex);
};

template <class Result, class Ask>
Result Wait(MonotonicTime deadline, const Ask& ask) {
  const auto answer = std::make_shared<Answer<Result>>();
  const absl::Status queued = ask([answer](Result result) {
    const MutexLock lock(answer->mutex);
    answer->value = std::move(result);
    answer->changed.NotifyAll();
  });
  if (!queued.ok()) {
    return queued;
  }
  const MutexLock lock(answer->mutex);
  while (!answer->value) {
    if (!answer->changed.WaitUntil(answer->mutex, deadline)) {
      break;
    }
  }
  if (!answer->value) {
    return absl::DeadlineExceededError("the TPM did not answer in time");
  }
  return *std::move(answer->value);
}

}  // namespace

absl::StatusOr<Bytes> LedgerKeyEvidence::Make(const std::string& log,
                                              const Bytes& key_spki,
                                              MonotonicTime deadline) {
  evidence::LedgerKeyStatement statement{
      .header = {}, .log = log, .key_spki = key_spki};
  statement.header.nonce = RandomBytes(kNonceSize);
  ASSIGN_OR_RETURN(statement.header.measured_at,
                   Wait<absl::StatusOr<TpmClock>>(deadline, [&](auto done) {
                     return signer_.ReadClock(deadline, std::move(done));
                   }));
  evidence::StatementHeader header = statement.header;
  ASSIGN_OR_RETURN(
      attestor::SealedStatement sealed,
      Wait<absl::StatusOr<attestor::SealedStatement>>(deadline, [&](auto done) {
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
