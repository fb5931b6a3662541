#ifndef VMATTEST_TPM_ESYS_SCOPED_AUTH_H_
#define VMATTEST_TPM_ESYS_SCOPED_AUTH_H_

#include <tss2/tss2_tpm2_types.h>

#include <algorithm>
#include <cstring>

#include "base/secret_bytes.h"

namespace vmattest::tpm {

// An authorisation value on its way into tpm2-tss, wiped afterwards.
class ScopedAuth {
 public:
  explicit ScopedAuth(const SecretBytes& secret) {
    const ByteView value = secret.Reveal(SecretAccess());
    auth_.size =
        static_cast<UINT16>(std::min(value.size(), sizeof(auth_.buffer)));
    std::copy_n(value.begin(), auth_.size, auth_.buffer);
  }
  ScopedAuth(const ScopedAuth&) = delete;
  ScopedAuth& operator=(const ScopedAuth&) = delete;
  ~ScopedAuth() { explicit_bzero(&auth_, sizeof(auth_)); }

  [[nodiscard]] const TPM2B_AUTH& get() const { return auth_; }

 private:
  TPM2B_AUTH auth_{};
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_SCOPED_AUTH_H_
