#include "crypto/ecdsa_der.h"

#include <algorithm>
#include <iterator>
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

// SubjectPublicKeyInfo of a P-256 key up to its uncompressed point (RFC 5480):
// with it there is one encoding of each key.
constexpr uint8_t kP256Prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a,
                                   0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                   0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
                                   0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

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

}  // namespace

absl::StatusOr<EcPublicKey> ParseP256Spki(ByteView der) {
  constexpr size_t kPrefix = sizeof(kP256Prefix);
  if (der.size() != kPrefix + 2 * kCoordinateSize ||
      !std::equal(std::begin(kP256Prefix), std::end(kP256Prefix),
                  der.begin())) {
    return absl::InvalidArgumentError(
        "not the DER encoding of a P-256 key with an uncompressed point");
  }
  EcPublicKey key{.x = ToBytes(der.subspan(kPrefix, kCoordinateSize)),
                  .y = ToBytes(der.subspan(kPrefix + kCoordinateSize))};
  const OpenSslErrorScope errors;
  if (ImportEcKey(key) == nullptr) {
    return absl::InvalidArgumentError("not a point on the curve");
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
