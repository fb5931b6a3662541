#ifndef VMATTEST_GATE_EVIDENCE_MAKER_H_
#define VMATTEST_GATE_EVIDENCE_MAKER_H_

#include <map>
#include <memory>
#include <string>

#include "attestor/statement_sealer.h"
#include "base/clock.h"
#include "base/secret_bytes.h"
#include "measurement/domain_measurer.h"
#include "signing/signer.h"

namespace vmattest::gate {

// The signer as blocking calls with deadlines, for what the gate asks of it.
// Callable from any thread but the signer's own.
//   UNAVAILABLE, DEADLINE_EXCEEDED: no TPM, or not in time. Else as Signer.
class EvidenceMaker {
 public:
  // All must outlive what is under way.
  EvidenceMaker(signing::Signer& signer, const Clock& clock,
                attestor::StatementSealer::Options options)
      : signer_(signer),
        clock_(clock),
        statements_(signer, clock, std::move(options)) {}

  absl::StatusOr<TpmClock> ReadClock(MonotonicTime deadline);
  // In the log, its PCR and its anchor when this returns.
  absl::Status Log(std::string kind, std::map<std::string, std::string> facts,
                   MonotonicTime deadline);

  struct Subject {
    const measurement::DomainMeasurement& measurement;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
    std::shared_ptr<const SecretBytes> vm_salt;
    Bytes nonce;
    TpmClock measured_at;
    bool live = false;
  };
  // A serialised Evidence, with all leaves: it is for the verifier.
  absl::StatusOr<Bytes> Make(const Subject& subject, MonotonicTime deadline);

  [[nodiscard]] signing::SignerState state() const { return signer_.state(); }

 private:
  signing::Signer& signer_;
  const Clock& clock_;
  attestor::StatementSealer statements_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_EVIDENCE_MAKER_H_
