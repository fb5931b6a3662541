#ifndef VMATTEST_TPM_ESYS_ESYS_QUOTE_H_
#define VMATTEST_TPM_ESYS_ESYS_QUOTE_H_

#include <cstdint>
#include <vector>

#include "evidence/tpm_structures.h"
#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_keys.h"
#include "tpm/esys/esys_session.h"
#include "tpm/host_tpm.h"

namespace vmattest::tpm {

// The PCRs of one bank, read under the session's HMAC.
// FAILED_PRECONDITION: the bank is not active in this TPM.
absl::StatusOr<PcrValues> ReadPcrs(EsysContext& context, EsysSession& session,
                                   const evidence::PcrSelection& selection);

// FAILED_PRECONDITION if one of PCRs 0 to 7 in `values` is as after a reset:
// firmware ends its measurements with a separator in each, so whoever likes
// could fill that bank (rule S9, CVE-2021-42299).
absl::Status CheckFirmwareMeasured(const PcrValues& values);

struct SignedQuote {
  Bytes quoted;     // TPMS_ATTEST
  Bytes signature;  // TPMT_SIGNATURE
  evidence::Attest attest;
};
// One TPM2_Quote. The answer is checked to be about the question: signer,
// qualifying data, selection; DATA_LOSS if not.
absl::StatusOr<SignedQuote> QuoteOnce(EsysContext& context,
                                      EsysSession& session,
                                      const SigningKey& key,
                                      ByteView qualifying_data,
                                      const evidence::PcrSelection& selection);

// Quotes until the quote covers `pcrs`, which are read again whenever it does
// not: one command where nothing changed. UNAVAILABLE: they change too fast.
absl::StatusOr<SignedQuote> QuoteWithPcrs(
    EsysContext& context, EsysSession& session, const SigningKey& key,
    ByteView qualifying_data, const evidence::PcrSelection& selection,
    PcrValues& pcrs);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_QUOTE_H_
