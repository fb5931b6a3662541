#include "tpm/esys/esys_session.h"

namespace vmattest::tpm {

absl::StatusOr<std::unique_ptr<EsysSession>> EsysSession::Start(
    EsysContext& context, ESYS_TR salt_key) {
  TPMT_SYM_DEF symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = 128;
  symmetric.mode.aes = TPM2_ALG_CFB;
  ESYS_TR session = ESYS_TR_NONE;
  RETURN_IF_ERROR(context.Call("starting a session", [&] {
    return Esys_StartAuthSession(context.get(), salt_key, ESYS_TR_NONE,
                                 ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 nullptr, TPM2_SE_HMAC, &symmetric,
                                 TPM2_ALG_SHA256, &session);
  }));
  return std::unique_ptr<EsysSession>(new EsysSession(context, session));
}

EsysSession::~EsysSession() {
  // A TPM that is gone would only be waited for; one that lost the session has
  // nothing left to flush.
  if (context_.fault() != EsysFault::kGone) {
    (void)Esys_FlushContext(context_.get(), session_);
  }
}

ESYS_TR EsysSession::Encrypting() {
  return With(TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT);
}

ESYS_TR EsysSession::EncryptingCommand() { return With(TPMA_SESSION_DECRYPT); }

ESYS_TR EsysSession::EncryptingResponse() { return With(TPMA_SESSION_ENCRYPT); }

ESYS_TR EsysSession::Auditing() { return With(TPMA_SESSION_AUDIT); }

ESYS_TR EsysSession::Plain() { return With(0); }

ESYS_TR EsysSession::With(TPMA_SESSION attributes) {
  // Fails only for something that is no session.
  (void)Esys_TRSess_SetAttributes(context_.get(), session_,
                                  attributes | TPMA_SESSION_CONTINUESESSION,
                                  0xFF);
  return session_;
}

}  // namespace vmattest::tpm
