#ifndef VMATTEST_ENROLLMENT_EK_CERTIFICATE_H_
#define VMATTEST_ENROLLMENT_EK_CERTIFICATE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "vmattest/types/verdict.h"

// Certificates of endorsement keys (TCG EK Credential Profile) up to roots
// that the operator configured. X.509 is OpenSSL's. Callable from any thread.

namespace vmattest::enrollment {

// Roots and intermediates: every *.pem, *.crt, *.cer, *.der of a folder.
class EkRoots {
 public:
  // NOT_FOUND: no folder. INVALID_ARGUMENT names a file that is no certificate.
  // Each of them may end a chain: manufacturers' roots are not always
  // self-signed. An empty folder trusts nobody.
  static absl::StatusOr<EkRoots> LoadFolder(const std::string& path);
  EkRoots();
  EkRoots(EkRoots&&) noexcept;
  EkRoots& operator=(EkRoots&&) noexcept;
  ~EkRoots();
  absl::Status Add(ByteView pem_or_der);

  struct Store;
  [[nodiscard]] const Store& store() const { return *store_; }

 private:
  std::unique_ptr<Store> store_;
};

// `certificate`: DER as a TPM's NV index has it, bytes of padding after it
// included (0x00 or 0xFF; anything else behind it is refused). `ek_public`:
// TPM2B_PUBLIC. Reason codes: "ek-certificate-missing",
// "ek-certificate-malformed", "ek-certificate-key" (certifies another key),
// "ek-certificate-chain" (OpenSSL's reason in `found`),
// "ek-certificate-not-yet", "ek-certificate-usage" (not a TPM's: neither EKU
// 2.23.133.8.1 nor the profile's key usage).
// Expiry of the EK's own certificate is not asked for (vendors let them run
// out; TCG allows it), that of issuers at `now` neither;
// "ek-certificate-not-yet" is. Critical subjectAltName and the subject
// directory attributes of the TCG are known extensions.
Verdict CheckEkCertificate(ByteView certificate, ByteView ek_public,
                           const EkRoots& roots, WallTime now);

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_EK_CERTIFICATE_H_
