#ifndef VMATTEST_TPM_ESYS_ESYS_KEYS_H_
#define VMATTEST_TPM_ESYS_ESYS_KEYS_H_

#include <tss2/tss2_esys.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/secret_bytes.h"
#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_session.h"

namespace vmattest::tpm {

// An endorsement key by a template of the TCG EK Credential Profile 2.5.
struct EkTemplate {
  std::string_view name;    // as kept in the pin file
  TPM2_HANDLE certificate;  // its NV index
  TPM2B_PUBLIC (*make)();
};
// In the order of preference: "L-2" (P-256), then "H-3" (P-384, what
// swtpm_setup --ecc makes).
const std::vector<EkTemplate>& EkTemplates();

// The EK in use: transient unless it was found at kPersistentEccEk.
inline constexpr TPM2_HANDLE kPersistentEccEk = 0x81010016;
struct LoadedEk {
  TransientObject scope;  // ESYS_TR_NONE for a persistent one
  ESYS_TR object;
  Bytes public_area;  // TPM2B_PUBLIC
};
// Made anew from the TPM's seed where it is not persistent: the same each time.
// `endorsement_auth` is never sent.
absl::StatusOr<LoadedEk> LoadEk(EsysContext& context,
                                const EkTemplate& ek_template,
                                const SecretBytes& endorsement_auth);

// DER from the template's NV index; empty if there is none.
absl::StatusOr<Bytes> ReadEkCertificate(EsysContext& context,
                                        const EkTemplate& ek_template,
                                        EsysSession& session);
// Whether there is one, asked without a session.
absl::StatusOr<bool> HasEkCertificate(EsysContext& context,
                                      const EkTemplate& ek_template);

// A restricted ECDSA P-256 primary key of the endorsement hierarchy, kept at
// `handle`. `label` makes it differ from the others, in key and authorisation.
struct SigningKeySpec {
  std::string label;
  TPM2_HANDLE handle = 0;
};
struct SigningKey {
  ESYS_TR object = ESYS_TR_NONE;
  Bytes public_area;  // TPM2B_PUBLIC
  Bytes name;
};

struct KeyAuthorizations {
  const SecretBytes& key;
  const SecretBytes& owner;
  const SecretBytes& endorsement;
};

// Finds the key or creates it. FAILED_PRECONDITION names the handle if another
// object is there: nothing is ever overwritten. RESOURCE_EXHAUSTED says what
// could make room.
absl::StatusOr<SigningKey> LoadOrCreateSigningKey(
    EsysContext& context, EsysSession& session, const SigningKeySpec& spec,
    const KeyAuthorizations& authorizations);

// Removes the object at `spec.handle` from the TPM if it is this very key: the
// TPM makes it once more and compares. False: it is another one, and stays.
absl::StatusOr<bool> EvictIfMade(EsysContext& context, EsysSession& session,
                                 const SigningKeySpec& spec,
                                 const KeyAuthorizations& authorizations);
// The same for a key whose name is known. False also if there is nothing.
absl::StatusOr<bool> EvictIfNamed(EsysContext& context, EsysSession& session,
                                  TPM2_HANDLE handle, ByteView name,
                                  const SecretBytes& owner_auth);

// HMAC-SHA-256(key_auth, "vmattest/tpm-auth/v1" || 0x00 || label), its last
// byte made odd: a TPM drops trailing zeros of an authValue.
SecretBytes DeriveAuth(const SecretBytes& key_auth, std::string_view label);
// Tells ESYS what authorises `object` from now on. Nothing is sent.
absl::Status SetAuth(EsysContext& context, ESYS_TR object,
                     const SecretBytes& value);

// TPM2_Certify of `key` by `ak`, both authorised by sessions of their own. One
// of them may be unsalted: a 256-bit authValue keys it.
struct Certification {
  Bytes certify_info;  // TPMS_ATTEST
  Bytes signature;     // TPMT_SIGNATURE
};
absl::StatusOr<Certification> CertifyKey(
    EsysContext& context, EsysSession& key_session, EsysSession& ak_session,
    const SigningKey& key, const SigningKey& ak, ByteView qualifying_data);

// TPMT_SIGNATURE as bytes.
absl::StatusOr<Bytes> EncodeSignature(const TPMT_SIGNATURE& signature);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_KEYS_H_
