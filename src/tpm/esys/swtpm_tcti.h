#ifndef VMATTEST_TPM_ESYS_SWTPM_TCTI_H_
#define VMATTEST_TPM_ESYS_SWTPM_TCTI_H_

#include <memory>
#include <string>

#include "tpm/esys/tcti.h"

namespace vmattest::tpm {

// swtpm's data channel on a Unix socket: bare commands and responses. Connects
// for each command, as tpm2-tss does: swtpm serves one connection at a time
// and other clients get their turn. Never writes to the control channel.
// UNAVAILABLE: nobody listens. INVALID_ARGUMENT: the path is too long.
absl::StatusOr<std::unique_ptr<Tcti>> OpenSwtpmTcti(
    std::string path, std::chrono::milliseconds timeout);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_SWTPM_TCTI_H_
