#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "crypto/openssl_errors.h"
#include "enrollment/ek_store.h"

namespace vmattest::enrollment {
namespace {

constexpr size_t kMaxFile = 1u << 20;
constexpr size_t kMaxCertificates = 4096;
constexpr std::string_view kPemMark = "-----BEGIN";

bool IsCertificateFile(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  constexpr std::array<std::string_view, 4> kKnown = {".pem", ".crt", ".cer",
                                                      ".der"};
  return std::find(kKnown.begin(), kKnown.end(), extension) != kKnown.end();
}

absl::Status NoCertificate() {
  return absl::InvalidArgumentError("not a certificate: " +
                                    DrainOpenSslErrors());
}

absl::StatusOr<X509Handle> ParseDer(ByteView der) {
  const uint8_t* cursor = der.data();
  X509Handle certificate(
      d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  if (!certificate || cursor != der.data() + der.size()) {
    return NoCertificate();
  }
  return certificate;
}

absl::StatusOr<std::vector<X509Handle>> ParsePem(ByteView pem) {
  const BioHandle bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  RequireOpenSsl(bio != nullptr, "BIO_new_mem_buf");
  std::vector<X509Handle> certificates;
  while (X509Handle certificate{
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    certificates.push_back(std::move(certificate));
  }
  const unsigned long error = ERR_peek_last_error();
  if (certificates.empty() || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return NoCertificate();
  }
  return certificates;
}

}  // namespace

EkRoots::EkRoots() : store_(std::make_unique<Store>()) {
  store_->certificates.reset(X509_STORE_new());
  RequireOpenSsl(store_->certificates != nullptr, "X509_STORE_new");
}
EkRoots::EkRoots(EkRoots&&) noexcept = default;
EkRoots& EkRoots::operator=(EkRoots&&) noexcept = default;
EkRoots::~EkRoots() = default;

absl::Status EkRoots::Add(ByteView pem_or_der) {
  const OpenSslErrorScope errors;
  if (pem_or_der.size() > kMaxFile) {
    return absl::InvalidArgumentError("too large for certificates");
  }
  std::vector<X509Handle> certificates;
  if (AsText(pem_or_der).find(kPemMark) != std::string_view::npos) {
    ASSIGN_OR_RETURN(certificates, ParsePem(pem_or_der));
  } else {
    ASSIGN_OR_RETURN(certificates.emplace_back(), ParseDer(pem_or_der));
  }
  if (store_->count + certificates.size() > kMaxCertificates) {
    return absl::InvalidArgumentError(
        fmt::format("more than {} certificates", kMaxCertificates));
  }
  for (const X509Handle& certificate : certificates) {
    RequireOpenSsl(
        X509_STORE_add_cert(store_->certificates.get(), certificate.get()) == 1,
        "X509_STORE_add_cert");
  }
  store_->count += certificates.size();
  return absl::OkStatus();
}

absl::StatusOr<EkRoots> EkRoots::LoadFolder(const std::string& path) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    if (IsCertificateFile(entry->path())) {
      files.push_back(entry->path());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), "EK roots in " + path);
  }
  std::sort(files.begin(), files.end());
  EkRoots roots;
  for (const std::filesystem::path& file : files) {
    ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(file, kMaxFile));
    RETURN_IF_ERROR_WITH(roots.Add(bytes), file.string());
  }
  return roots;
}

}  // namespace vmattest::enrollment
