#ifndef VMATTEST_TPM_ESYS_ESYS_CONNECTION_H_
#define VMATTEST_TPM_ESYS_ESYS_CONNECTION_H_

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_host_tpm.h"
#include "tpm/esys/esys_keys.h"
#include "tpm/esys/esys_nv.h"
#include "tpm/esys/esys_quote.h"
#include "tpm/esys/esys_session.h"

// What the sources of EsysHostTpm share; nobody else includes it.

namespace vmattest::tpm {

struct EsysHostTpm::Connection {
  std::unique_ptr<EsysContext> context;
  std::unique_ptr<EsysSession> session;  // goes before its context
  uint32_t reset_count = 0;              // of the boot that it was opened in
  const EkTemplate* ek_template = nullptr;
  Bytes ek_public;
  Bytes ek_name;
  SigningKey ak;
  std::map<KeyPurpose, SigningKey> keys;  // the active ones
  evidence::PcrSelection selection;
  PcrValues pcrs;  // as last read
  // While opening: what will be pinned, and which of our handles are in use.
  TpmPin pin;
  std::vector<TPM2_HANDLE> handles;
  std::optional<NvIndex> anchor;  // once it was used
  bool seal_counter_ready = false;
};

absl::StatusOr<TpmClock> ReadTpmClock(EsysContext& context,
                                      EsysSession& session);
// FAILED_PRECONDITION "needs re-enrolment: `why`: ...".
absl::Status NeedsReEnrolment(std::string_view why);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_CONNECTION_H_
