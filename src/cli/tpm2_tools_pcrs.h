#ifndef VMATTEST_CLI_TPM2_TOOLS_PCRS_H_
#define VMATTEST_CLI_TPM2_TOOLS_PCRS_H_

#include <vector>

#include "base/bytes.h"
#include "evidence/tpm_structures.h"
#include "vmattest/types/tpm.h"

namespace vmattest::cli {

// The PCR file of tpm2-tools 5 ("serialized", what tpm2_quote -o writes and
// tpm2_checkquote -f reads): the C structs TPML_PCR_SELECTION and, 8 values
// each, TPML_DIGEST as they lie in memory, integers little-endian.
// INVALID_ARGUMENT: more banks or PCRs than these structs hold, or a selected
// value is missing.
absl::StatusOr<Bytes> EncodeTpm2ToolsPcrs(
    const std::vector<evidence::PcrSelection>& selections,
    const std::vector<PcrValues>& values);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_TPM2_TOOLS_PCRS_H_
