#include "tpm/esys/esys_activate.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/esys_connection.h"
#include "tpm/esys/handles.h"

namespace vmattest::tpm {
namespace {

constexpr std::string_view kDoing = "activating a credential";
constexpr TSS2_RC kFormatOne = 0x080;
constexpr TSS2_RC kFormatOneCode = 0x0BF;

// A digest that is wiped before ESYS frees it.
struct FreeSecret {
  void operator()(TPM2B_DIGEST* digest) const {
    explicit_bzero(digest, sizeof(*digest));
    Esys_Free(digest);
  }
};

template <class T>
absl::StatusOr<T> Unmarshal(ByteView bytes, std::string_view what,
                            TSS2_RC (*unmarshal)(const uint8_t[], size_t,
                                                 size_t*, T*)) {
  T value{};
  size_t offset = 0;
  if (unmarshal(bytes.data(), bytes.size(), &offset, &value) !=
          TSS2_RC_SUCCESS ||
      offset != bytes.size()) {
    return absl::InvalidArgumentError(fmt::format("{}: malformed", what));
  }
  return value;
}

// Whether the TPM says of a parameter that nobody's TPM could take it so.
bool IsAboutTheCredential(TSS2_RC code) {
  code &= ~TSS2_RC_LAYER_MASK;
  if ((code & kFormatOne) == 0) {
    return false;
  }
  switch (code & kFormatOneCode) {
    case TPM2_RC_INTEGRITY:
    case TPM2_RC_ECC_POINT:
    case TPM2_RC_SIZE:
    case TPM2_RC_VALUE:
    case TPM2_RC_INSUFFICIENT:
      // Of handles and sessions they say something else.
      return (code & TPM2_RC_P) != 0;
    default:
      return false;
  }
}

bool NeedsPolicy(const TPM2B_PUBLIC& ek) {
  return (ek.publicArea.objectAttributes & TPMA_OBJECT_USERWITHAUTH) == 0;
}

// Satisfies PolicyA of the EK Credential Profile. Salted to the EK itself, so
// that nobody on the bus can use it for a key of theirs before we do.
class EkPolicySession {
 public:
  static absl::StatusOr<std::unique_ptr<EkPolicySession>> Start(
      EsysContext& context, EsysSession& session, ESYS_TR ek,
      TPMI_ALG_HASH hash, const SecretBytes& endorsement_auth) {
    TPMT_SYM_DEF symmetric{};
    symmetric.algorithm = TPM2_ALG_NULL;
    ESYS_TR policy = ESYS_TR_NONE;
    RETURN_IF_ERROR(context.Call(kDoing, [&] {
      return Esys_StartAuthSession(
          context.get(), ek, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
          ESYS_TR_NONE, nullptr, TPM2_SE_POLICY, &symmetric, hash, &policy);
    }));
    std::unique_ptr<EkPolicySession> started(
        new EkPolicySession(context, policy));
    // Fails only for something that is no session.
    (void)Esys_TRSess_SetAttributes(context.get(), policy,
                                    TPMA_SESSION_CONTINUESESSION, 0xFF);
    RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_ENDORSEMENT, endorsement_auth));
    RETURN_IF_ERROR(context.CallAsOwner(kDoing, [&] {
      return Esys_PolicySecret(context.get(), ESYS_TR_RH_ENDORSEMENT, policy,
                               session.Auditing(), ESYS_TR_NONE, ESYS_TR_NONE,
                               nullptr, nullptr, nullptr, 0, nullptr, nullptr);
    }));
    return started;
  }
  EkPolicySession(const EkPolicySession&) = delete;
  EkPolicySession& operator=(const EkPolicySession&) = delete;
  ~EkPolicySession() {
    // A TPM that is gone would only be waited for.
    if (context_.fault() != EsysFault::kGone) {
      (void)Esys_FlushContext(context_.get(), policy_);
    }
  }

  [[nodiscard]] ESYS_TR get() const { return policy_; }

 private:
  EkPolicySession(EsysContext& context, ESYS_TR policy)
      : context_(context), policy_(policy) {}

  EsysContext& context_;
  const ESYS_TR policy_;
};

absl::StatusOr<SecretBytes> Run(EsysContext& context, EsysSession& session,
                                const ActivationKeys& keys, ESYS_TR ek,
                                const TPM2B_ID_OBJECT& blob,
                                const TPM2B_ENCRYPTED_SECRET& secret) {
  const TPM2B_PUBLIC area = keys.ek_template.make();
  std::unique_ptr<EkPolicySession> policy;
  std::unique_ptr<EsysSession> plain;
  ESYS_TR ek_session = ESYS_TR_NONE;
  if (NeedsPolicy(area)) {
    ASSIGN_OR_RETURN(policy, EkPolicySession::Start(context, session, ek,
                                                    area.publicArea.nameAlg,
                                                    keys.endorsement_auth));
    ek_session = policy->get();
  } else {
    RETURN_IF_ERROR(SetAuth(context, ek, SecretBytes()));
    ASSIGN_OR_RETURN(plain, EsysSession::Start(context, ek));
    ek_session = plain->Plain();
  }
  TPM2B_DIGEST* raw = nullptr;
  TSS2_RC code = TSS2_RC_SUCCESS;
  const absl::Status activated = context.Call(kDoing, [&] {
    return code = Esys_ActivateCredential(context.get(), keys.ak.object, ek,
                                          session.Encrypting(), ek_session,
                                          ESYS_TR_NONE, &blob, &secret, &raw);
  });
  const std::unique_ptr<TPM2B_DIGEST, FreeSecret> digest(raw);
  if (!activated.ok() && IsAboutTheCredential(code)) {
    return absl::InvalidArgumentError(
        "the credential was not made for this TPM and its AK");
  }
  RETURN_IF_ERROR(activated);
  return SecretBytes(Bytes(digest->buffer, digest->buffer + digest->size));
}

}  // namespace

absl::StatusOr<SecretBytes> Activate(EsysContext& context, EsysSession& session,
                                     const ActivationKeys& keys,
                                     ByteView credential_blob,
                                     ByteView encrypted_secret) {
  ASSIGN_OR_RETURN(const TPM2B_ID_OBJECT blob,
                   Unmarshal(credential_blob, "credential_blob",
                             Tss2_MU_TPM2B_ID_OBJECT_Unmarshal));
  ASSIGN_OR_RETURN(const TPM2B_ENCRYPTED_SECRET secret,
                   Unmarshal(encrypted_secret, "encrypted_secret",
                             Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal));
  ASSIGN_OR_RETURN(const LoadedEk ek,
                   LoadEk(context, keys.ek_template, keys.endorsement_auth));
  ASSIGN_OR_RETURN(const Bytes name, evidence::NameOf(ek.public_area));
  if (!std::equal(name.begin(), name.end(), keys.ek_name.begin(),
                  keys.ek_name.end())) {
    return absl::DataLossError(
        "the endorsement key is not the pinned one any more");
  }
  absl::StatusOr<SecretBytes> activated =
      Run(context, session, keys, ek.object, blob, secret);
  if (ek.scope.get() == ESYS_TR_NONE) {
    context.Forget(ek.object);
  }
  return activated;
}

absl::StatusOr<SecretBytes> EsysHostTpm::ActivateCredential(
    ByteView credential_blob, ByteView encrypted_secret) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  SecretBytes activated;
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(activated,
                     Activate(*connection.context, *connection.session,
                              {.ak = connection.ak,
                               .ek_template = *connection.ek_template,
                               .ek_name = connection.ek_name,
                               .endorsement_auth = options_.endorsement_auth},
                              credential_blob, encrypted_secret));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(ran);
  return activated;
}

}  // namespace vmattest::tpm
