#ifndef VMATTEST_TPM_ESYS_ESYS_SESSION_H_
#define VMATTEST_TPM_ESYS_ESYS_SESSION_H_

#include <tss2/tss2_esys.h>

#include <memory>

#include "tpm/esys/esys_context.h"

namespace vmattest::tpm {

// An HMAC session that lives until it is destroyed, with AES-128-CFB parameter
// encryption. Salted to a key, its HMACs and ciphertexts are secret to whoever
// watches the bus; unsalted they only spare an authorisation from being sent.
class EsysSession {
 public:
  // `salt_key`: ESYS_TR_NONE for an unsalted one. `context` must outlive it.
  static absl::StatusOr<std::unique_ptr<EsysSession>> Start(
      EsysContext& context, ESYS_TR salt_key);
  EsysSession(const EsysSession&) = delete;
  EsysSession& operator=(const EsysSession&) = delete;
  ~EsysSession();

  // For a command whose first parameter and response can be encrypted.
  ESYS_TR Encrypting();
  // For one of which only the first parameter can be encrypted.
  ESYS_TR EncryptingCommand();
  // For one of which only the first response parameter can be encrypted.
  ESYS_TR EncryptingResponse();
  // For one without either: the HMAC alone protects it.
  ESYS_TR Auditing();
  // As the second session of a command that another one encrypts.
  ESYS_TR Plain();

 private:
  EsysSession(EsysContext& context, ESYS_TR session)
      : context_(context), session_(session) {}
  ESYS_TR With(TPMA_SESSION attributes);

  EsysContext& context_;
  const ESYS_TR session_;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_SESSION_H_
