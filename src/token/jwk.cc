#include <fmt/format.h>

#include <algorithm>

#include "base/base64.h"
#include "base/strict_json.h"
#include "crypto/digest.h"
#include "token/key.h"
#include "token/shown.h"

namespace vmattest::token {
namespace {

using nlohmann::json;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("JWK: {}", what));
}

absl::Status Unknown(std::string_view member, std::string_view value) {
  return absl::UnimplementedError(
      fmt::format("JWK: \"{}\" is {}", member, value));
}

size_t CoordinateSize(EcCurve curve) {
  return curve == EcCurve::kP256 ? 32 : 48;
}

// RFC 7518, section 6.2.1.2: always of the curve's size.
Bytes Padded(const Bytes& coordinate, EcCurve curve) {
  const size_t size = CoordinateSize(curve);
  if (coordinate.size() >= size) {
    return coordinate;
  }
  Bytes padded(size - coordinate.size(), 0);
  padded.insert(padded.end(), coordinate.begin(), coordinate.end());
  return padded;
}

// The members that RFC 7638, section 3.2, and RFC 9964 have in a thumbprint.
json RequiredMembers(const std::variant<EcPublicKey, AkpKey>& material) {
  json jwk = json::object();
  if (const auto* ec = std::get_if<EcPublicKey>(&material)) {
    jwk["crv"] = ec->curve == EcCurve::kP256 ? "P-256" : "P-384";
    jwk["kty"] = "EC";
    jwk["x"] = ToBase64Url(Padded(ec->x, ec->curve));
    jwk["y"] = ToBase64Url(Padded(ec->y, ec->curve));
    return jwk;
  }
  const auto& akp = std::get<AkpKey>(material);
  jwk["alg"] = AlgorithmOf(akp.key.level());
  jwk["kty"] = "AKP";
  jwk["pub"] = ToBase64Url(akp.bytes);
  return jwk;
}

json ToJson(const VerificationKey& key, const VerificationKey::Key& inside) {
  json jwk = RequiredMembers(inside.material);
  jwk["alg"] = key.algorithm();
  jwk["kid"] = inside.name.empty() ? inside.thumbprint : inside.name;
  jwk["use"] = "sig";
  return jwk;
}

absl::StatusOr<std::string> Text(const json& jwk, const char* name) {
  const auto found = jwk.find(name);
  if (found == jwk.end() || !found->is_string()) {
    return Malformed(fmt::format("no text \"{}\"", name));
  }
  return found->get<std::string>();
}

absl::StatusOr<Bytes> Binary(const json& jwk, const char* name, size_t size) {
  ASSIGN_OR_RETURN(const std::string text, Text(jwk, name));
  absl::StatusOr<Bytes> bytes = ParseBase64Url(text);
  if (!bytes.ok() || bytes->size() != size) {
    return Malformed(
        fmt::format("\"{}\" is not base64url of {} bytes", name, size));
  }
  return bytes;
}

// RFC 7517, sections 4.2 and 4.3: a key for something else is not used.
absl::Status CheckUse(const json& jwk) {
  for (const char* secret : {"d", "priv", "k"}) {
    if (jwk.contains(secret)) {
      return Malformed("a private key");
    }
  }
  if (const auto use = jwk.find("use"); use != jwk.end() && *use != "sig") {
    return Malformed("its \"use\" is not \"sig\"");
  }
  if (const auto ops = jwk.find("key_ops"); ops != jwk.end()) {
    if (!ops->is_array() ||
        std::find(ops->begin(), ops->end(), "verify") == ops->end()) {
      return Malformed("its \"key_ops\" lack \"verify\"");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<EcPublicKey> ParseEc(const json& jwk) {
  ASSIGN_OR_RETURN(const std::string curve, Text(jwk, "crv"));
  EcPublicKey key;
  if (curve == "P-384") {
    key.curve = EcCurve::kP384;
  } else if (curve != "P-256") {
    return Unknown("crv", Shown(curve));
  }
  if (const auto alg = jwk.find("alg");
      alg != jwk.end() && *alg != AlgorithmOf(key.curve)) {
    return Malformed("its \"alg\" is not that of its curve");
  }
  const size_t size = CoordinateSize(key.curve);
  ASSIGN_OR_RETURN(key.x, Binary(jwk, "x", size));
  ASSIGN_OR_RETURN(key.y, Binary(jwk, "y", size));
  RETURN_IF_ERROR_WITH(ToPem(key).status(), "JWK");
  return key;
}

absl::StatusOr<AkpKey> ParseAkp(const json& jwk) {
  ASSIGN_OR_RETURN(const std::string algorithm, Text(jwk, "alg"));
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    if (algorithm == AlgorithmOf(level)) {
      ASSIGN_OR_RETURN(Bytes bytes,
                       Binary(jwk, "pub", MlDsaPublicKeySize(level)));
      ASSIGN_OR_RETURN(MlDsaPublicKey key, MlDsaPublicKey::Parse(level, bytes));
      return AkpKey{std::move(key), std::move(bytes)};
    }
  }
  return Unknown("alg", Shown(algorithm));
}

absl::StatusOr<VerificationKey> FromJson(const json& jwk) {
  if (!jwk.is_object()) {
    return Malformed("not an object");
  }
  ASSIGN_OR_RETURN(const std::string type, Text(jwk, "kty"));
  RETURN_IF_ERROR(CheckUse(jwk));
  std::string name;
  if (jwk.contains("kid")) {
    ASSIGN_OR_RETURN(name, Text(jwk, "kid"));
  }
  if (type == "EC") {
    ASSIGN_OR_RETURN(EcPublicKey key, ParseEc(jwk));
    return VerificationKey::Key::Make(std::move(key), std::move(name));
  }
  if (type == "AKP") {
    ASSIGN_OR_RETURN(AkpKey key, ParseAkp(jwk));
    return VerificationKey::Key::Make(std::move(key), std::move(name));
  }
  return Unknown("kty", Shown(type));
}

absl::StatusOr<json> ParseBounded(std::string_view text, size_t limit) {
  if (text.size() > limit) {
    return Malformed(fmt::format("more than {} bytes", limit));
  }
  ASSIGN_OR_RETURN_WITH(json parsed, ParseStrictJson(text), "JWK");
  return parsed;
}

}  // namespace

VerificationKey VerificationKey::Key::Make(
    std::variant<EcPublicKey, AkpKey> material, std::string name) {
  const auto* ec = std::get_if<EcPublicKey>(&material);
  const std::string_view algorithm =
      ec != nullptr ? AlgorithmOf(ec->curve)
                    : AlgorithmOf(std::get<AkpKey>(material).key.level());
  std::string thumbprint =
      ToBase64Url(Hash(HashAlgorithm::kSha256,
                       AsBytes(CanonicalJson(RequiredMembers(material)))));
  return VerificationKey(std::make_shared<const Key>(Key{
      std::move(material), std::move(name), algorithm, std::move(thumbprint)}));
}

VerificationKey::VerificationKey(std::shared_ptr<const Key> key)
    : key_(std::move(key)) {}

absl::StatusOr<VerificationKey> VerificationKey::FromJwk(
    std::string_view json_text) {
  ASSIGN_OR_RETURN(const json jwk, ParseBounded(json_text, kMaxJwkSize));
  return FromJson(jwk);
}

VerificationKey VerificationKey::FromEc(EcPublicKey key) {
  return Key::Make(std::move(key), "");
}

std::string VerificationKey::ToJwk() const {
  return CanonicalJson(ToJson(*this, *key_));
}

std::string VerificationKey::key_id() const { return key_->thumbprint; }

std::string_view VerificationKey::algorithm() const { return key_->algorithm; }

bool VerificationKey::IsNamed(std::string_view kid) const {
  return kid == key_->thumbprint || (!kid.empty() && kid == key_->name);
}

bool VerificationKey::Verify(ByteView message, ByteView signature) const {
  if (const auto* akp = std::get_if<AkpKey>(&key_->material)) {
    return akp->key.Verify(message, "", signature);
  }
  const auto& ec = std::get<EcPublicKey>(key_->material);
  const size_t half = CoordinateSize(ec.curve);
  if (signature.size() != 2 * half) {
    return false;
  }
  const HashAlgorithm hash = ec.curve == EcCurve::kP256
                                 ? HashAlgorithm::kSha256
                                 : HashAlgorithm::kSha384;
  return VerifyEcdsa(ec, Hash(hash, message), signature.first(half),
                     signature.last(half));
}

std::string ToJwkSet(std::span<const VerificationKey> keys) {
  // Each is canonical already.
  std::string set = "{\"keys\":[";
  const char* separator = "";
  for (const VerificationKey& key : keys) {
    set += separator + key.ToJwk();
    separator = ",";
  }
  return set + "]}";
}

absl::StatusOr<std::vector<VerificationKey>> ParseJwkSet(
    std::string_view json_text) {
  ASSIGN_OR_RETURN(const json set, ParseBounded(json_text, kMaxJwkSetSize));
  const auto keys = set.find("keys");
  if (keys == set.end() || !keys->is_array() || keys->size() > kMaxJwks) {
    return Malformed(fmt::format("no set of at most {} \"keys\"", kMaxJwks));
  }
  std::vector<VerificationKey> usable;
  for (const json& jwk : *keys) {
    absl::StatusOr<VerificationKey> key = FromJson(jwk);
    if (key.ok()) {
      usable.push_back(*std::move(key));
    } else if (!absl::IsUnimplemented(key.status()) &&
               !absl::IsUnavailable(key.status())) {
      return key.status();
    }
  }
  return usable;
}

}  // namespace vmattest::token
