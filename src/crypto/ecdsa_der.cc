#include "crypto/ecdsa_der.h"

#include <openssl/core_names.h>

#include <utility>

#include "crypto/ec_import.h"
#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest {
namespace {

constexpr int kCoordinateSize = 32;

struct FreeDer {
  void operator()(unsigned char* der) const noexcept { OPENSSL_free(der); }
};
using Der = std::unique_ptr<unsigned char, FreeDer>;

bool Same(ByteView a, const Bytes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

Bytes Coordinate(const BIGNUM* number) {
  Bytes bytes(kCoordinateSize);
  if (BN_bn2binpad(number, bytes.data(), kCoordinateSize) != kCoordinateSize) {
    bytes.clear();
  }
  return bytes;
}

Bytes KeyCoordinate(const EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) {
    return {};
  }
  const BignumHandle number(raw);
  return Coordinate(number.get());
}

}  // namespace

absl::StatusOr<EcPublicKey> ParseP256Spki(ByteView der) {
  const OpenSslErrorScope errors;
  const unsigned char* input = der.data();
  const EvpPkeyHandle pkey(
      d2i_PUBKEY(nullptr, &input, static_cast<long>(der.size())));
  EcPublicKey key;
  char group[32] = {};
  size_t size = 0;
  if (pkey == nullptr ||
      EVP_PKEY_get_group_name(pkey.get(), group, sizeof(group), &size) != 1 ||
      std::string_view(group, size) != SN_X9_62_prime256v1) {
    return absl::InvalidArgumentError("not a P-256 key");
  }
  key.x = KeyCoordinate(pkey.get(), OSSL_PKEY_PARAM_EC_PUB_X);
  key.y = KeyCoordinate(pkey.get(), OSSL_PKEY_PARAM_EC_PUB_Y);
  ASSIGN_OR_RETURN(const Bytes again, EncodeSpki(key));
  if (!Same(der, again)) {
    return absl::InvalidArgumentError("a P-256 key in another encoding");
  }
  return key;
}

absl::StatusOr<Bytes> EncodeSpki(const EcPublicKey& key) {
  const OpenSslErrorScope errors;
  const EvpPkeyHandle pkey = ImportEcKey(key);
  if (pkey == nullptr) {
    return absl::InvalidArgumentError("not a point on the curve");
  }
  unsigned char* raw = nullptr;
  const int size = i2d_PUBKEY(pkey.get(), &raw);
  const Der der(raw);
  RequireOpenSsl(size > 0, "i2d_PUBKEY");
  return Bytes(raw, raw + size);
}

std::optional<EcdsaParts> ParseEcdsaDer(ByteView der) {
  const OpenSslErrorScope errors;
  const unsigned char* input = der.data();
  const EcdsaSigHandle parsed(
      d2i_ECDSA_SIG(nullptr, &input, static_cast<long>(der.size())));
  if (parsed == nullptr ||
      BN_num_bytes(ECDSA_SIG_get0_r(parsed.get())) > kCoordinateSize ||
      BN_num_bytes(ECDSA_SIG_get0_s(parsed.get())) > kCoordinateSize ||
      BN_is_negative(ECDSA_SIG_get0_r(parsed.get())) != 0 ||
      BN_is_negative(ECDSA_SIG_get0_s(parsed.get())) != 0) {
    return std::nullopt;
  }
  EcdsaParts parts{.r = Coordinate(ECDSA_SIG_get0_r(parsed.get())),
                   .s = Coordinate(ECDSA_SIG_get0_s(parsed.get()))};
  if (!Same(der, EncodeEcdsaDer(parts.r, parts.s))) {
    return std::nullopt;
  }
  return parts;
}

Bytes EncodeEcdsaDer(ByteView r, ByteView s) {
  const EcdsaSigHandle signature(ECDSA_SIG_new());
  BignumHandle r_number(
      BN_bin2bn(r.data(), static_cast<int>(r.size()), nullptr));
  BignumHandle s_number(
      BN_bin2bn(s.data(), static_cast<int>(s.size()), nullptr));
  RequireOpenSsl(
      signature && r_number && s_number &&
          ECDSA_SIG_set0(signature.get(), r_number.get(), s_number.get()) == 1,
      "ECDSA_SIG_set0");
  (void)r_number.release();  // now the signature's
  (void)s_number.release();
  unsigned char* raw = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &raw);
  const Der der(raw);
  RequireOpenSsl(size > 0, "i2d_ECDSA_SIG");
  return Bytes(raw, raw + size);
}

}  // namespace vmattest
