#ifndef VMATTEST_TESTS_SUPPORT_EK_PKI_H_
#define VMATTEST_TESTS_SUPPORT_EK_PKI_H_

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

// A TPM manufacturer's certificates, made by OpenSSL, as wrong as a test wants.
// Throws if OpenSSL fails. Not thread-safe.

namespace vmattest::testing {

// One of 2020-01-01 to 2040-01-01, with what the EK profile asks for.
struct EkCertificateOptions {
  std::string key_usage = "critical,keyAgreement";
  std::string extended_key_usage = "2.23.133.8.1";
  std::string basic_constraints = "critical,CA:FALSE";
  // More extensions: OpenSSL's names or OIDs, and values of x509v3_config(5).
  std::vector<std::pair<std::string, std::string>> more;
  std::string not_before = "20200101000000Z";
  std::string not_after = "20400101000000Z";
  std::string digest = "SHA256";
  std::string serial = "17";  // decimal
  // The SubjectPublicKeyInfo says id-RSAES-OAEP, as old certificates do.
  bool oaep_algorithm = false;
};

// A root, and an intermediate below it that issues.
class EkPki {
 public:
  enum class Kind { kEcc, kRsa };  // of both authorities' keys
  explicit EkPki(Kind kind = Kind::kEcc);
  EkPki(const EkPki&) = delete;
  EkPki& operator=(const EkPki&) = delete;
  ~EkPki();

  [[nodiscard]] const Bytes& root() const { return root_; }  // DER
  [[nodiscard]] const Bytes& intermediate() const { return intermediate_; }
  // DER, for a key of a TPM2B_PUBLIC that enrollment::ParseEkPublic takes.
  [[nodiscard]] Bytes Issue(ByteView ek_public,
                            const EkCertificateOptions& options = {}) const;
  // An authority below the last one, `count` times, each DER; Issue() is then
  // the last one's.
  std::vector<Bytes> Deepen(int count);

 private:
  struct Authority;
  std::unique_ptr<Authority> root_authority_;
  std::unique_ptr<Authority> issuer_;
  Bytes root_;
  Bytes intermediate_;
};

// DER of PEM or DER.
Bytes CertificateDer(ByteView certificate);
// The TPM2B_PUBLIC that a certificate's key has in a TPM by template L-1 (RSA
// 2048) or L-2 (P-256). PEM or DER.
Bytes EkPublicOf(ByteView certificate);
// A new key of template L-1.
Bytes RsaEk();

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_EK_PKI_H_
