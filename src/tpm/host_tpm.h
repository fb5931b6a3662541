#ifndef VMATTEST_TPM_HOST_TPM_H_
#define VMATTEST_TPM_HOST_TPM_H_

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "evidence/host_identity.h"
#include "vmattest/types/tpm.h"

namespace vmattest::tpm {

// One TPM2_Quote by a purpose key, with the PCR values that it covers.
struct Quote {
  Bytes key_name;
  Bytes quoted;     // TPMS_ATTEST
  Bytes signature;  // TPMT_SIGNATURE
  std::vector<PcrValues> pcr_banks;
};

// The host's TPM, as the daemon uses it. Calls block for as long as the TPM
// takes (a quote on real hardware: 100 to 600 ms) and are serialised inside:
// call them from the `tpm` thread, never from event or gRPC threads.
//   UNAVAILABLE          gone, busy, or was reset; it is reopened: retry.
//   FAILED_PRECONDITION  lock-out, wrong authorisation, or the TPM was cleared
//                        or replaced: retrying cannot help.
//   DATA_LOSS            an answer was altered on its way, or the salt key is
//                        not the pinned one: stop and alarm.
class HostTpm {
 public:
  virtual ~HostTpm() = default;

  // Opens the TPM, creates the keys that are missing, checks those that are
  // there against what was pinned. Idempotent.
  virtual absl::Status Provision() = 0;
  // FAILED_PRECONDITION until Provision() succeeded once.
  virtual absl::StatusOr<evidence::HostIdentity> GetIdentity() = 0;
  // `qualifying_data`: 32 bytes, as evidence::QualifyingData makes them.
  virtual absl::StatusOr<Quote> MakeQuote(KeyPurpose purpose,
                                          ByteView qualifying_data) = 0;
  virtual absl::StatusOr<TpmClock> ReadClock() = 0;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_HOST_TPM_H_
