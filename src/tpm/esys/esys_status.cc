#include "tpm/esys/esys_status.h"

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tpm2_types.h>

#include "fmt/format.h"

namespace vmattest::tpm {
namespace {

constexpr TSS2_RC kFormatOne = 0x080;
constexpr TSS2_RC kFormatOneCode = 0x0BF;
constexpr TSS2_RC kParameter = 0x040;
constexpr TSS2_RC kSession = 0x800;
constexpr TSS2_RC kLayerError = 0xFFFF;

bool IsFromTpm(TSS2_RC code) {
  const TSS2_RC layer = code & TSS2_RC_LAYER_MASK;
  return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER ||
         layer == TSS2_RESMGR_RC_LAYER;
}

EsysFault ClassifyFormatOne(TSS2_RC code) {
  const TSS2_RC base = code & kFormatOneCode;
  if (base == TPM2_RC_AUTH_FAIL || base == TPM2_RC_BAD_AUTH) {
    return EsysFault::kRefused;
  }
  const bool about_handle = (code & kParameter) == 0;
  if (about_handle && (base == TPM2_RC_HANDLE || base == TPM2_RC_VALUE)) {
    return (code & kSession) != 0 ? EsysFault::kSessionLost
                                  : EsysFault::kNoHandle;
  }
  return EsysFault::kOther;
}

EsysFault ClassifyTpmCode(TSS2_RC code) {
  code &= ~TSS2_RC_LAYER_MASK;
  if ((code & kFormatOne) != 0) {
    return ClassifyFormatOne(code);
  }
  switch (code) {
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_TESTING:
    case TPM2_RC_NV_RATE:
    case TPM2_RC_NV_UNAVAILABLE:
      return EsysFault::kBusy;
    case TPM2_RC_CONTEXT_GAP:
    case TPM2_RC_REFERENCE_S0:
    case TPM2_RC_REFERENCE_S1:
    case TPM2_RC_REFERENCE_S2:
    case TPM2_RC_REFERENCE_H0:
    case TPM2_RC_REFERENCE_H1:
    case TPM2_RC_REFERENCE_H2:
      return EsysFault::kSessionLost;
    case TPM2_RC_INITIALIZE:
    case TPM2_RC_REBOOT:
      return EsysFault::kGone;
    default:
      return EsysFault::kOther;
  }
}

absl::Status TpmStatus(TSS2_RC code, std::string_view doing) {
  switch (code & ~TSS2_RC_LAYER_MASK) {
    case TPM2_RC_LOCKOUT:
      return absl::FailedPreconditionError(fmt::format(
          "{}: the TPM is in lockout after too many wrong authorisations: wait "
          "for its recovery time or reset it with the lockout authorisation",
          doing));
    case TPM2_RC_FAILURE:
      return absl::FailedPreconditionError(fmt::format(
          "{}: the TPM is in failure mode: it needs a power cycle", doing));
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_SESSION_HANDLES:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_MEMORY:
      return absl::UnavailableError(fmt::format(
          "{}: others hold the TPM's memory: {}", doing, Tss2_RC_Decode(code)));
    case TPM2_RC_NV_SPACE:
      return absl::ResourceExhaustedError(
          fmt::format("{}: the TPM has no room left", doing));
    default:
      return absl::InternalError(
          fmt::format("{}: {}", doing, Tss2_RC_Decode(code)));
  }
}

}  // namespace

EsysFault ClassifyFault(TSS2_RC code) {
  if (code == TSS2_RC_SUCCESS) {
    return EsysFault::kNone;
  }
  if (IsFromTpm(code)) {
    return ClassifyTpmCode(code);
  }
  if ((code & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER) {
    return EsysFault::kGone;
  }
  switch (code & kLayerError) {
    case TSS2_BASE_RC_IO_ERROR:
    case TSS2_BASE_RC_NO_CONNECTION:
    case TSS2_BASE_RC_TRY_AGAIN:
      return EsysFault::kGone;
    case TSS2_BASE_RC_MEMORY:
    case TSS2_BASE_RC_NOT_IMPLEMENTED:
    case TSS2_BASE_RC_BAD_REFERENCE:
    case TSS2_BASE_RC_BAD_TR:
      return EsysFault::kOther;
    default:
      // ESYS, SYS and MU report a response that they cannot take.
      return EsysFault::kAltered;
  }
}

absl::Status ToStatus(TSS2_RC code, std::string_view doing) {
  switch (ClassifyFault(code)) {
    case EsysFault::kNone:
      break;
    case EsysFault::kBusy:
      return absl::UnavailableError(fmt::format("{}: the TPM is busy", doing));
    case EsysFault::kSessionLost:
    case EsysFault::kNoHandle:
      return absl::UnavailableError(
          fmt::format("{}: the TPM was reset or flushed by another client ({})",
                      doing, Tss2_RC_Decode(code)));
    case EsysFault::kRefused:
    case EsysFault::kOwnerRefused:
      return absl::FailedPreconditionError(
          fmt::format("{}: the TPM refuses the authorisation ({})", doing,
                      Tss2_RC_Decode(code)));
    case EsysFault::kGone:
      return absl::UnavailableError(fmt::format(
          "{}: the TPM does not answer ({})", doing, Tss2_RC_Decode(code)));
    case EsysFault::kAltered:
      return absl::DataLossError(
          fmt::format("{}: the TPM's answer was altered on its way ({})", doing,
                      Tss2_RC_Decode(code)));
    case EsysFault::kOther:
      break;
  }
  return TpmStatus(code, doing);
}

}  // namespace vmattest::tpm
