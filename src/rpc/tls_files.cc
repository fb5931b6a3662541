#include "rpc/tls_files.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/file.h"
#include "base/handles.h"
#include "base/secret_bytes.h"
#include "fmt/format.h"

namespace vmattest::rpc {
namespace {

using BioHandle = std::unique_ptr<BIO, Closer<BIO_free_all>>;
using CertificateHandle = std::unique_ptr<X509, Closer<X509_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Closer<EVP_PKEY_free>>;

constexpr size_t kMaxPem = 1u << 20;

BioHandle ViewAsBio(ByteView bytes) {
  return BioHandle(
      BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

absl::Status Invalid(const std::filesystem::path& path, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", path.string(), why));
}

absl::StatusOr<CertificateHandle> ReadCertificate(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path, kMaxPem));
  CertificateHandle certificate(
      PEM_read_bio_X509(ViewAsBio(pem).get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    return Invalid(path, "holds no PEM certificate");
  }
  return certificate;
}

int RefusePassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<KeyHandle> ReadKey(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(Bytes pem, ReadFile(path, kMaxPem));
  const SecretBytes secret(std::move(pem));
  KeyHandle key(
      PEM_read_bio_PrivateKey(ViewAsBio(secret.Reveal(SecretAccess())).get(),
                              nullptr, RefusePassphrase, nullptr));
  if (key == nullptr) {
    return Invalid(path, "holds no PEM private key without a passphrase");
  }
  return key;
}

}  // namespace

absl::Status CheckTlsFiles(const TlsFiles& files) {
  ASSIGN_OR_RETURN(const CertificateHandle certificate,
                   ReadCertificate(files.certificate));
  ASSIGN_OR_RETURN(const KeyHandle key, ReadKey(files.private_key));
  RETURN_IF_ERROR(ReadCertificate(files.client_ca).status());
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Invalid(files.private_key,
                   fmt::format("does not belong to the certificate {}",
                               files.certificate.string()));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) <= 0) {
    return Invalid(files.certificate, "has expired");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) >= 0) {
    return Invalid(files.certificate, "is not valid yet");
  }
  return absl::OkStatus();
}

void DemandTls13() {
  setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", /*overwrite=*/1);
}

}  // namespace vmattest::rpc
