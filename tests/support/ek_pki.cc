#include "support/ek_pki.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdexcept>
#include <utility>

#include "crypto/handles.h"
#include "enrollment/ek_public.h"

namespace vmattest::testing {
namespace {

constexpr std::string_view kPolicyA =
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
constexpr uint32_t kEkLowAttributes = 0x000300B2;

void Require(bool ok, const char* what) {
  if (!ok) {
    throw std::runtime_error(what);
  }
}

Bytes ToDer(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  Require(size > 0, "i2d_X509");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

void SetTime(ASN1_TIME* time, const std::string& text) {
  Require(ASN1_TIME_set_string_X509(time, text.c_str()) == 1, "time");
}

void SetName(X509_NAME* name, const std::string& text) {
  Require(
      X509_NAME_add_entry_by_txt(
          name, "CN", MBSTRING_UTF8,
          reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0) == 1,
      "name");
}

void AddExtension(X509* certificate, X509* issuer, const std::string& name,
                  const std::string& value) {
  if (value.empty()) {
    return;
  }
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension =
      X509V3_EXT_conf(nullptr, &context, name.c_str(), value.c_str());
  Require(extension != nullptr, name.c_str());
  Require(X509_add_ext(certificate, extension, -1) == 1, "X509_add_ext");
  X509_EXTENSION_free(extension);
}

X509Handle Begin(const std::string& subject, EVP_PKEY* key,
                 const EkCertificateOptions& options) {
  X509Handle certificate(X509_new());
  BIGNUM* serial = nullptr;
  Require(BN_dec2bn(&serial, options.serial.c_str()) > 0, "serial");
  const BignumHandle number(serial);
  BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate.get()));
  X509_set_version(certificate.get(), X509_VERSION_3);
  SetTime(X509_getm_notBefore(certificate.get()), options.not_before);
  SetTime(X509_getm_notAfter(certificate.get()), options.not_after);
  if (!subject.empty()) {
    SetName(X509_get_subject_name(certificate.get()), subject);
  }
  Require(X509_set_pubkey(certificate.get(), key) == 1, "X509_set_pubkey");
  return certificate;
}

void SetOaepAlgorithm(X509* certificate) {
  const unsigned char* bits = nullptr;
  int size = 0;
  X509_PUBKEY* key = X509_get_X509_PUBKEY(certificate);
  Require(X509_PUBKEY_get0_param(nullptr, &bits, &size, nullptr, key) == 1,
          "X509_PUBKEY_get0_param");
  auto* copy = static_cast<unsigned char*>(
      OPENSSL_memdup(bits, static_cast<size_t>(size)));
  Require(X509_PUBKEY_set0_param(key, OBJ_nid2obj(NID_rsaesOaep), V_ASN1_NULL,
                                 nullptr, copy, size) == 1,
          "X509_PUBKEY_set0_param");
}

void Sized16(ByteWriter& writer, ByteView bytes) {
  writer.U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
}

Bytes NumberOf(const EVP_PKEY* key, const char* name, int size) {
  BIGNUM* raw = nullptr;
  Require(EVP_PKEY_get_bn_param(key, name, &raw) == 1, name);
  const BignumHandle number(raw);
  Bytes bytes(static_cast<size_t>(size));
  Require(BN_bn2binpad(raw, bytes.data(), size) == size, name);
  return bytes;
}

X509Handle ParseAny(ByteView bytes) {
  if (AsText(bytes).starts_with("-----BEGIN")) {
    const BioHandle bio(
        BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
    return X509Handle(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  }
  const uint8_t* cursor = bytes.data();
  return X509Handle(
      d2i_X509(nullptr, &cursor, static_cast<long>(bytes.size())));
}

}  // namespace

struct EkPki::Authority {
  EvpPkeyHandle key;
  X509Handle certificate;

  Authority(const std::string& name, const Authority* issuer,
            Kind kind = Kind::kEcc)
      : key(kind == Kind::kEcc ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048)) {
    certificate = Begin(name, key.get(), {});
    X509* by =
        issuer != nullptr ? issuer->certificate.get() : certificate.get();
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(by));
    AddExtension(certificate.get(), by, "basicConstraints", "critical,CA:TRUE");
    AddExtension(certificate.get(), by, "keyUsage",
                 "critical,keyCertSign,cRLSign");
    AddExtension(certificate.get(), by, "subjectKeyIdentifier", "hash");
    Require(X509_sign(certificate.get(),
                      (issuer != nullptr ? issuer->key : key).get(),
                      EVP_sha256()) > 0,
            "X509_sign");
  }
};

EkPki::EkPki(Kind kind)
    : root_authority_(std::make_unique<Authority>("TPM Root", nullptr, kind)),
      issuer_(std::make_unique<Authority>("TPM Issuer", root_authority_.get(),
                                          kind)),
      root_(ToDer(root_authority_->certificate.get())),
      intermediate_(ToDer(issuer_->certificate.get())) {}

EkPki::~EkPki() = default;

std::vector<Bytes> EkPki::Deepen(int count) {
  std::vector<Bytes> below;
  for (int i = 0; i < count; ++i) {
    issuer_ = std::make_unique<Authority>("Level " + std::to_string(i),
                                          issuer_.get());
    below.push_back(ToDer(issuer_->certificate.get()));
  }
  return below;
}

Bytes EkPki::Issue(ByteView ek_public,
                   const EkCertificateOptions& options) const {
  const auto ek = enrollment::ParseEkPublic(ek_public);
  Require(ek.ok(), "not an EK");
  X509* by = issuer_->certificate.get();
  // The profile's EK certificates have no subject, but a critical name.
  const X509Handle certificate = Begin("", ek->key.get(), options);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(by));
  if (options.oaep_algorithm) {
    SetOaepAlgorithm(certificate.get());
  }
  AddExtension(certificate.get(), by, "basicConstraints",
               options.basic_constraints);
  AddExtension(certificate.get(), by, "keyUsage", options.key_usage);
  AddExtension(certificate.get(), by, "extendedKeyUsage",
               options.extended_key_usage);
  for (const auto& [name, value] : options.more) {
    AddExtension(certificate.get(), by, name, value);
  }
  Require(X509_sign(certificate.get(), issuer_->key.get(),
                    EVP_get_digestbyname(options.digest.c_str())) > 0,
          "X509_sign");
  return ToDer(certificate.get());
}

Bytes CertificateDer(ByteView certificate) {
  const X509Handle parsed = ParseAny(certificate);
  Require(parsed != nullptr, "no certificate");
  return ToDer(parsed.get());
}

namespace {

Bytes LowEk(const EVP_PKEY* key) {
  const bool rsa = EVP_PKEY_is_a(key, "RSA") == 1;
  ByteWriter area;
  area.U16(rsa ? 0x0001 : 0x0023).U16(0x000B).U32(kEkLowAttributes);
  Sized16(area, ParseHex(kPolicyA).value());
  area.U16(0x0006).U16(128).U16(0x0043).U16(0x0010);
  if (rsa) {
    area.U16(2048).U32(0);
    Sized16(area, NumberOf(key, OSSL_PKEY_PARAM_RSA_N, 256));
  } else {
    area.U16(0x0003).U16(0x0010);
    Sized16(area, NumberOf(key, OSSL_PKEY_PARAM_EC_PUB_X, 32));
    Sized16(area, NumberOf(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32));
  }
  ByteWriter sized;
  Sized16(sized, area.bytes());
  return std::move(sized).Take();
}

}  // namespace

Bytes RsaEk() {
  const EvpPkeyHandle key(EVP_RSA_gen(2048));
  return LowEk(key.get());
}

Bytes EkPublicOf(ByteView certificate) {
  const X509Handle parsed = ParseAny(certificate);
  Require(parsed != nullptr, "no certificate");
  return LowEk(X509_get0_pubkey(parsed.get()));
}

}  // namespace vmattest::testing
