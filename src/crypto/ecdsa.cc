#include "crypto/ecdsa.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <algorithm>
#include <optional>

#include "crypto/ec_import.h"
#include "crypto/ecdsa_der.h"
#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest {
namespace {

struct Curve {
  const char* name;
  size_t size;  // bytes of a coordinate, and of the order
};

Curve Describe(EcCurve curve) {
  switch (curve) {
    case EcCurve::kP256:
      return {"P-256", 32};
    case EcCurve::kP384:
      return {"P-384", 48};
  }
  RequireOpenSsl(false, "naming a curve");
  return {};
}

// Uncompressed, as X9.62 has it; nothing if a coordinate is empty or too long.
std::optional<Bytes> EncodePoint(const EcPublicKey& key, size_t size) {
  if (key.x.empty() || key.y.empty() || key.x.size() > size ||
      key.y.size() > size) {
    return std::nullopt;
  }
  Bytes point(1 + 2 * size, 0);
  point[0] = 0x04;
  std::copy(key.x.begin(), key.x.end(),
            point.begin() + static_cast<ptrdiff_t>(1 + size - key.x.size()));
  std::copy(key.y.begin(), key.y.end(),
            point.end() - static_cast<ptrdiff_t>(key.y.size()));
  return point;
}

// The DER form that EVP takes. Empty if r or s is empty or too long.
Bytes EncodeSignature(ByteView r, ByteView s, size_t size) {
  if (r.empty() || s.empty() || r.size() > size || s.size() > size) {
    return {};
  }
  return EncodeEcdsaDer(r, s);
}

}  // namespace

// libcrypto checks the range of the coordinates and the curve's equation on
// import, and both curves have cofactor 1, so nothing is left for
// EVP_PKEY_public_check to find.
EvpPkeyHandle ImportEcKey(const EcPublicKey& key) {
  const Curve curve = Describe(key.curve);
  std::optional<Bytes> point = EncodePoint(key, curve.size);
  if (!point) {
    return nullptr;
  }
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                       const_cast<char*>(curve.name), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point->data(),
                                        point->size()),
      OSSL_PARAM_construct_end()};
  const EvpPkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* imported = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &imported, EVP_PKEY_PUBLIC_KEY,
                        const_cast<OSSL_PARAM*>(params)) != 1) {
    return nullptr;
  }
  return EvpPkeyHandle(imported);
}

bool VerifyEcdsa(const EcPublicKey& key, ByteView digest, ByteView r,
                 ByteView s) {
  const absl::StatusOr<EcVerifier> verifier = EcVerifier::Import(key);
  return verifier.ok() && verifier->Verify(digest, r, s);
}

EcVerifier::EcVerifier(EcCurve curve,
                       std::shared_ptr<const EVP_PKEY_CTX> prepared)
    : curve_(curve), prepared_(std::move(prepared)) {}

absl::StatusOr<EcVerifier> EcVerifier::Import(const EcPublicKey& key) {
  const OpenSslErrorScope errors;
  const EvpPkeyHandle pkey = ImportEcKey(key);
  if (!pkey) {
    return absl::InvalidArgumentError("not a point on the curve");
  }
  EvpPkeyCtxHandle context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, pkey.get(), nullptr));
  RequireOpenSsl(context && EVP_PKEY_verify_init(context.get()) == 1,
                 "EVP_PKEY_verify_init");
  return EcVerifier(key.curve, std::move(context));
}

bool EcVerifier::Verify(ByteView digest, ByteView r, ByteView s) const {
  const OpenSslErrorScope errors;
  const Bytes signature = EncodeSignature(r, s, Describe(curve_).size);
  if (signature.empty() || digest.empty()) {
    return false;
  }
  const EvpPkeyCtxHandle context(EVP_PKEY_CTX_dup(prepared_.get()));
  // EVP_PKEY_verify refuses r or s of zero or not below the order (FIPS 186-5
  // section 6.4.2 step 1).
  return context &&
         EVP_PKEY_verify(context.get(), signature.data(), signature.size(),
                         digest.data(), digest.size()) == 1;
}

absl::StatusOr<std::string> ToPem(const EcPublicKey& key) {
  const OpenSslErrorScope errors;
  const EvpPkeyHandle pkey = ImportEcKey(key);
  if (!pkey) {
    return absl::InvalidArgumentError("not a point on the curve");
  }
  const BioHandle out(BIO_new(BIO_s_mem()));
  RequireOpenSsl(out && PEM_write_bio_PUBKEY(out.get(), pkey.get()) == 1,
                 "PEM_write_bio_PUBKEY");
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

}  // namespace vmattest
