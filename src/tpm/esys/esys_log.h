#ifndef VMATTEST_TPM_ESYS_ESYS_LOG_H_
#define VMATTEST_TPM_ESYS_ESYS_LOG_H_

#include <tss2/tss2_esys.h>

#include <cstdint>

#include "evidence/statement.h"
#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_keys.h"
#include "tpm/esys/esys_nv.h"
#include "tpm/esys/esys_session.h"

// What the TPM holds of the host event log (rule S1, docs/tpm.md): the log PCR,
// the anchor (size and head in an NV index) and a counter of boots.

namespace vmattest::tpm {

struct LogAnchor {
  uint64_t size = 0;
  Bytes head;  // 32 bytes
};
NvSpec LogAnchorSpec(TPM2_HANDLE handle);
NvSpec BootCounterSpec(TPM2_HANDLE handle);

// INVALID_ARGUMENT: firmware's, IMA's, or one that software can reset.
absl::Status CheckLogPcr(uint32_t pcr);

// What `pcr` becomes: H(pcr || digest) in the bank's algorithm.
// INVALID_ARGUMENT: no such bank, or `digest` is not of its size.
absl::StatusOr<Bytes> Extended(uint16_t bank, ByteView pcr, ByteView digest);
// In one bank alone; `digest` is of the bank's size.
absl::Status ExtendPcr(EsysContext& context, EsysSession& session, uint32_t pcr,
                       uint16_t bank, ByteView digest);

absl::StatusOr<LogAnchor> ReadAnchor(EsysContext& context, EsysSession& session,
                                     const NvIndex& index);
absl::Status WriteAnchor(EsysContext& context, EsysSession& session,
                         const NvIndex& index, const LogAnchor& anchor);
absl::StatusOr<uint64_t> ReadCounter(EsysContext& context, EsysSession& session,
                                     const NvIndex& index);

// TPM2_NV_Certify of the whole anchor by `ak`. DATA_LOSS: the answer is not
// about the question.
absl::StatusOr<evidence::AnchorCertification> CertifyAnchor(
    EsysContext& context, EsysSession& session, const SigningKey& ak,
    const NvSpec& spec, const NvIndex& index, ByteView qualifying_data);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_LOG_H_
