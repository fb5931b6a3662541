#include "enrollment/ek_certificate.h"

#include <fmt/format.h>
#include <openssl/obj_mac.h>

#include <algorithm>
#include <utility>

#include "crypto/openssl_errors.h"
#include "enrollment/ek_public.h"
#include "enrollment/ek_store.h"
#include "enrollment/reason_codes.h"

namespace vmattest::enrollment {
namespace {

constexpr int kMaxChain = 5;  // issuers between the EK and its root
// tcg-kp-EKCertificate.
constexpr std::string_view kEkUsage = "2.23.133.8.1";
// SHA-1 has 63, as OpenSSL counts: vendors' old roots sign with it. MD5 has 39.
constexpr int kMinSignatureBits = 63;
constexpr int kMinIssuerBits = 112;  // RSA 2048

Verdict Refuse(std::string_view code, std::string element, std::string expected,
               std::string found) {
  Verdict verdict;
  verdict.reasons.push_back({std::string(code), std::move(element),
                             std::move(expected), std::move(found)});
  return verdict;
}

Verdict Accept() {
  Verdict verdict;
  verdict.outcome = Verdict::Outcome::kTrusted;
  return verdict;
}

std::string NameOf(const X509* certificate) {
  const BioHandle out(BIO_new(BIO_s_mem()));
  RequireOpenSsl(out != nullptr, "BIO_new");
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size))
                  : std::string("a certificate without a subject");
}

// The bytes up to the end of the DER; padding after it is an NV index's, which
// is larger than what was written to it.
absl::StatusOr<X509Handle> Parse(ByteView bytes) {
  if (bytes.size() > kMaxCertificateSize) {
    return absl::InvalidArgumentError(fmt::format("{} bytes", bytes.size()));
  }
  const uint8_t* cursor = bytes.data();
  X509Handle certificate(
      d2i_X509(nullptr, &cursor, static_cast<long>(bytes.size())));
  if (!certificate) {
    return absl::InvalidArgumentError(DrainOpenSslErrors());
  }
  const ByteView rest =
      bytes.subspan(static_cast<size_t>(cursor - bytes.data()));
  const bool padding =
      rest.empty() || ((rest.front() == 0x00 || rest.front() == 0xFF) &&
                       std::all_of(rest.begin(), rest.end(),
                                   [&](uint8_t b) { return b == rest[0]; }));
  if (!padding) {
    return absl::InvalidArgumentError(
        fmt::format("{} bytes after its end that are no padding", rest.size()));
  }
  return certificate;
}

// Older EK certificates name RSAES-OAEP as the key's algorithm (PKCS #1
// id-RSAES-OAEP), of which OpenSSL makes no key; the bits are an RSAPublicKey.
EvpPkeyHandle KeyOf(X509* certificate) {
  if (EvpPkeyHandle key{X509_get_pubkey(certificate)}) {
    return key;
  }
  ASN1_OBJECT* algorithm = nullptr;
  const unsigned char* bits = nullptr;
  int size = 0;
  if (X509_PUBKEY_get0_param(&algorithm, &bits, &size, nullptr,
                             X509_get_X509_PUBKEY(certificate)) != 1 ||
      OBJ_obj2nid(algorithm) != NID_rsaesOaep) {
    return nullptr;
  }
  const unsigned char* cursor = bits;
  EvpPkeyHandle key(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &cursor, size));
  return cursor == bits + size ? std::move(key) : nullptr;
}

bool IsKnownExtension(X509_EXTENSION* extension) {
  return X509_supported_extension(extension) == 1 ||
         OBJ_obj2nid(X509_EXTENSION_get_object(extension)) ==
             NID_subject_directory_attributes;
}

// Whether all critical extensions are among those that the EK profile has.
bool CriticalExtensionsAreKnown(const X509* certificate) {
  for (int i = 0; i < X509_get_ext_count(certificate); ++i) {
    X509_EXTENSION* extension = X509_get_ext(certificate, i);
    if (X509_EXTENSION_get_critical(extension) == 1 &&
        !IsKnownExtension(extension)) {
      return false;
    }
  }
  return true;
}

// Whether OpenSSL's objection is one that EK certificates get by with.
int OnObjection(int ok, X509_STORE_CTX* context) {
  if (ok == 1) {
    return 1;
  }
  switch (X509_STORE_CTX_get_error(context)) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return 1;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return CriticalExtensionsAreKnown(
                 X509_STORE_CTX_get_current_cert(context))
                 ? 1
                 : 0;
    default:
      return 0;
  }
}

// OpenSSL's own security levels know no level that has SHA-1 and not MD5.
Verdict CheckStrength(X509_STORE_CTX* context) {
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context);
  for (int i = 0; i + 1 < sk_X509_num(chain); ++i) {
    X509* certificate = sk_X509_value(chain, i);
    int bits = 0;
    if (X509_get_signature_info(certificate, nullptr, nullptr, &bits,
                                nullptr) != 1 ||
        bits < kMinSignatureBits) {
      return Refuse(reason::kCertificateChain, NameOf(certificate),
                    "a signature with SHA-1 or better",
                    fmt::format("one of {} bits", bits));
    }
    X509* issuer = sk_X509_value(chain, i + 1);
    const EVP_PKEY* key = X509_get0_pubkey(issuer);
    if (key == nullptr || EVP_PKEY_get_security_bits(key) < kMinIssuerBits) {
      return Refuse(reason::kCertificateChain, NameOf(issuer),
                    "an issuer's key of RSA 2048 or better", "a weaker one");
    }
  }
  return Accept();
}

Verdict Objection(int error, std::string element) {
  const bool early = error == X509_V_ERR_CERT_NOT_YET_VALID;
  return Refuse(early ? reason::kCertificateNotYet : reason::kCertificateChain,
                std::move(element),
                early ? "a certificate that is valid already"
                      : "a chain to a root that is configured",
                X509_verify_cert_error_string(error));
}

// OpenSSL verifies no certificate of whose key it can make nothing, although
// the key is not needed for that. Its first link is then checked here, by the
// same functions; the rest is the issuer's chain.
Verdict CheckFirstLink(X509* certificate, X509* issuer, WallTime now) {
  time_t at =
      std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  if (X509_cmp_time(X509_get0_notBefore(certificate), &at) > 0) {
    return Objection(X509_V_ERR_CERT_NOT_YET_VALID, NameOf(certificate));
  }
  if (!CriticalExtensionsAreKnown(certificate)) {
    return Objection(X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION,
                     NameOf(certificate));
  }
  if (X509_check_ca(issuer) == 0) {
    return Objection(X509_V_ERR_INVALID_CA, NameOf(issuer));
  }
  int bits = 0;
  if (X509_get_signature_info(certificate, nullptr, nullptr, &bits, nullptr) !=
          1 ||
      bits < kMinSignatureBits ||
      X509_verify(certificate, X509_get0_pubkey(issuer)) != 1) {
    return Objection(X509_V_ERR_CERT_SIGNATURE_FAILURE, NameOf(certificate));
  }
  return Accept();
}

Verdict CheckChain(X509* certificate, const EkRoots& roots, WallTime now) {
  const X509StoreCtxHandle context(X509_STORE_CTX_new());
  RequireOpenSsl(context && X509_STORE_CTX_init(
                                context.get(), roots.store().certificates.get(),
                                certificate, nullptr) == 1,
                 "X509_STORE_CTX_init");
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_depth(param, kMaxChain);
  // Some manufacturers' roots are themselves issued by others' whose root is
  // not to be had (STM TPM ECC Root CA 01).
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(
      param,
      std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
  X509_STORE_CTX_set_verify_cb(context.get(), OnObjection);
  if (X509_get0_pubkey(certificate) == nullptr) {
    X509* found = nullptr;
    if (X509_STORE_CTX_get1_issuer(&found, context.get(), certificate) != 1) {
      return Objection(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
                       NameOf(certificate));
    }
    const X509Handle issuer(found);
    Verdict link = CheckFirstLink(certificate, issuer.get(), now);
    return link.trusted() ? CheckChain(issuer.get(), roots, now) : link;
  }
  if (X509_verify_cert(context.get()) == 1) {
    return CheckStrength(context.get());
  }
  const int error = X509_STORE_CTX_get_error(context.get());
  const X509* current = X509_STORE_CTX_get_current_cert(context.get());
  return Objection(error,
                   current != nullptr ? NameOf(current) : "EK certificate");
}

enum class EkUsage : uint8_t { kNone, kTpm, kOther };

EkUsage ExtendedUsageOf(const X509* certificate) {
  int critical = 0;
  const ExtendedKeyUsageHandle usages(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(certificate, NID_ext_key_usage, &critical, nullptr)));
  if (!usages) {
    return critical == -1 ? EkUsage::kNone : EkUsage::kOther;
  }
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    char text[64] = {};
    OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(usages.get(), i), 1);
    if (kEkUsage == text) {
      return EkUsage::kTpm;
    }
  }
  return EkUsage::kOther;
}

// What the profile asks: keyEncipherment for RSA, keyAgreement for ECC. With
// the TPM's extended usage either is taken, or no key usage at all.
Verdict CheckUsage(X509* certificate, EkPublic::Type type) {
  const EkUsage extended = ExtendedUsageOf(certificate);
  const uint32_t usage = X509_get_key_usage(certificate);
  const bool has_usage = usage != UINT32_MAX;
  const uint32_t wanted =
      type == EkPublic::Type::kRsa ? KU_KEY_ENCIPHERMENT : KU_KEY_AGREEMENT;
  const bool profile = has_usage && (usage & wanted) != 0;
  const bool tpm =
      extended == EkUsage::kTpm &&
      (!has_usage || (usage & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)) != 0);
  if (X509_check_ca(certificate) != 0 ||
      (X509_get_extension_flags(certificate) & EXFLAG_CA) != 0) {
    return Refuse(reason::kCertificateUsage, "basic constraints",
                  "an endorsement key's", "an authority's");
  }
  if (extended == EkUsage::kOther || (!profile && !tpm)) {
    return Refuse(reason::kCertificateUsage, "key usage",
                  "2.23.133.8.1 (EK certificate), or key encipherment (RSA) or "
                  "agreement (ECC)",
                  has_usage ? fmt::format("{:#06x}", usage) : "none");
  }
  return Accept();
}

}  // namespace

Verdict CheckEkCertificate(ByteView certificate, ByteView ek_public,
                           const EkRoots& roots, WallTime now) {
  const OpenSslErrorScope errors;
  if (certificate.empty()) {
    return Refuse(reason::kCertificateMissing, "EK certificate",
                  "one of the TPM's manufacturer", "none");
  }
  const absl::StatusOr<X509Handle> parsed = Parse(certificate);
  if (!parsed.ok()) {
    return Refuse(reason::kCertificateMalformed, "EK certificate",
                  "X.509, DER, padded with 00 or FF",
                  std::string(parsed.status().message()));
  }
  const EvpPkeyHandle certified = KeyOf(parsed->get());
  const absl::StatusOr<EkPublic> ek = ParseEkPublic(ek_public);
  if (!certified || !ek.ok() ||
      EVP_PKEY_eq(certified.get(), ek->key.get()) != 1) {
    return Refuse(reason::kCertificateKey, "EK certificate",
                  "the key of this host's EK",
                  !ek.ok()     ? std::string(ek.status().message())
                  : !certified ? "a key that cannot be read"
                               : "another key");
  }
  if (Verdict verdict = CheckChain(parsed->get(), roots, now);
      !verdict.trusted()) {
    return verdict;
  }
  return CheckUsage(parsed->get(), ek->type);
}

}  // namespace vmattest::enrollment
