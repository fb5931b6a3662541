#ifndef VMATTEST_TPM_ESYS_ESYS_ACTIVATE_H_
#define VMATTEST_TPM_ESYS_ESYS_ACTIVATE_H_

#include "base/secret_bytes.h"
#include "tpm/esys/esys_keys.h"

namespace vmattest::tpm {

// Whose secret it is to be.
struct ActivationKeys {
  const SigningKey& ak;
  const EkTemplate& ek_template;
  ByteView ek_name;
  const SecretBytes& endorsement_auth;
};

// TPM2_ActivateCredential; the secret is encrypted on its way by `session`. The
// EK is made or found as LoadEk does, and used by its policy,
// PolicySecret(endorsement), or by its empty authValue where the template
// allows that. INVALID_ARGUMENT: a credential for another key, or none.
// DATA_LOSS: the EK is not the one named.
absl::StatusOr<SecretBytes> Activate(EsysContext& context, EsysSession& session,
                                     const ActivationKeys& keys,
                                     ByteView credential_blob,
                                     ByteView encrypted_secret);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_ACTIVATE_H_
