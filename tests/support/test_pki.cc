#include "support/test_pki.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdexcept>

#include "base/handles.h"

namespace vmattest::testing {
namespace {

using KeyHandle = std::unique_ptr<EVP_PKEY, Closer<EVP_PKEY_free>>;
using CertificateHandle = std::unique_ptr<X509, Closer<X509_free>>;
using ExtensionHandle =
    std::unique_ptr<X509_EXTENSION, Closer<X509_EXTENSION_free>>;
using BioHandle = std::unique_ptr<BIO, Closer<BIO_free_all>>;

template <class T>
T Check(T result) {
  if (!result) {
    throw std::runtime_error("OpenSSL refused to make a test certificate");
  }
  return result;
}

void AddExtension(X509* certificate, X509* issuer, int nid,
                  const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionHandle extension(
      Check(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str())));
  Check(X509_add_ext(certificate, extension.get(), -1));
}

CertificateHandle Blank(EVP_PKEY* key, const std::string& name, long serial,
                        std::chrono::seconds lifetime) {
  CertificateHandle certificate(Check(X509_new()));
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -2 * 24 * 3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), lifetime.count());
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
      reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  Check(X509_set_pubkey(certificate.get(), key));
  return certificate;
}

template <class WriteFn>
std::string ToPem(WriteFn write) {
  const BioHandle bio(Check(BIO_new(BIO_s_mem())));
  Check(write(bio.get()));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

struct TestPki::Authority {
  KeyHandle key;
  CertificateHandle certificate;
};

TestPki::TestPki() : authority_(std::make_unique<Authority>()) {
  authority_->key.reset(Check(EVP_EC_gen("P-256")));
  authority_->certificate = Blank(authority_->key.get(), "test CA", serial_++,
                                  std::chrono::hours(24));
  X509* certificate = authority_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  AddExtension(certificate, certificate, NID_basic_constraints,
               "critical,CA:TRUE");
  AddExtension(certificate, certificate, NID_key_usage,
               "critical,keyCertSign,cRLSign");
  Check(X509_sign(certificate, authority_->key.get(), EVP_sha256()));
  ca_ = dir_.Write("ca.pem", ToPem([&](BIO* bio) {
                     return PEM_write_bio_X509(bio, certificate);
                   }));
}

TestPki::~TestPki() = default;

CertificateFiles TestPki::Issue(const std::string& name,
                                const std::vector<std::string>& alternatives,
                                std::chrono::seconds lifetime) {
  const KeyHandle key(Check(EVP_EC_gen("P-256")));
  const CertificateHandle certificate =
      Blank(key.get(), name, serial_++, lifetime);
  X509* issuer = authority_->certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  std::string list;
  for (const std::string& alternative : alternatives) {
    list += (list.empty() ? "" : ",") + alternative;
  }
  if (!list.empty()) {
    AddExtension(certificate.get(), issuer, NID_subject_alt_name, list);
  }
  AddExtension(certificate.get(), issuer, NID_ext_key_usage,
               "serverAuth,clientAuth");
  Check(X509_sign(certificate.get(), authority_->key.get(), EVP_sha256()));
  const auto replace = [this](const std::string& file, const std::string& pem) {
    const std::filesystem::path temporary = dir_.Write(file + ".new", pem);
    std::filesystem::rename(temporary, dir_.path() / file);
    return dir_.path() / file;
  };
  return {replace(name + ".pem", ToPem([&](BIO* bio) {
                    return PEM_write_bio_X509(bio, certificate.get());
                  })),
          replace(name + ".key", ToPem([&](BIO* bio) {
                    return PEM_write_bio_PrivateKey(
                        bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
                  }))};
}

}  // namespace vmattest::testing
