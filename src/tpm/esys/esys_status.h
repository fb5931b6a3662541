#ifndef VMATTEST_TPM_ESYS_ESYS_STATUS_H_
#define VMATTEST_TPM_ESYS_ESYS_STATUS_H_

#include <tss2/tss2_common.h>

#include <string_view>

#include "base/status.h"

// What a TSS2_RC means to us. Pure; callable from any thread.

namespace vmattest::tpm {

// Named by what the adapter does next.
enum class EsysFault {
  kNone,
  kBusy,          // the same command again, after a pause
  kSessionLost,   // reset, flushed or gap: reopen, then once more
  kRefused,       // an authorisation or HMAC that the TPM does not accept
  kOwnerRefused,  // the same, where it may be a hierarchy's that is wrong
  kNoHandle,      // nothing is there: create it, or reopen
  kGone,          // the way to the TPM failed: reopen at the next call
  kAltered,       // the response is not what the TPM sent: alarm
  kOther,
};

EsysFault ClassifyFault(TSS2_RC code);

// The code of tpm/host_tpm.h's contract, and "`doing`: decoded text". `code` is
// not success.
absl::Status ToStatus(TSS2_RC code, std::string_view doing);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_STATUS_H_
