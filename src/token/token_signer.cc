#include "crypto/digest.h"
#include "crypto/openssl_errors.h"
#include "token/claims.h"
#include "token/jws.h"
#include "token/key.h"

namespace vmattest::token {
namespace {

VerificationKey PublicOf(const MlDsaKey& key) {
  absl::StatusOr<MlDsaPublicKey> parsed =
      MlDsaPublicKey::Parse(key.level(), key.public_key());
  RequireOpenSsl(parsed.ok(), "an ML-DSA key's public half");
  return VerificationKey::Key::Make(
      AkpKey{*std::move(parsed), key.public_key()}, "");
}

}  // namespace

struct TokenSigner::Keys {
  EcPrivateKey ec;
  VerificationKey ec_public;
  std::optional<MlDsaKey> pq;
  std::optional<VerificationKey> pq_public;
};

TokenSigner::TokenSigner(EcPrivateKey ec, std::optional<MlDsaKey> pq) {
  VerificationKey ec_public = VerificationKey::FromEc(ec.public_key());
  std::optional<VerificationKey> pq_public;
  if (pq) {
    pq_public = PublicOf(*pq);
  }
  keys_ = std::make_unique<Keys>(Keys{std::move(ec), std::move(ec_public),
                                      std::move(pq), std::move(pq_public)});
}
TokenSigner::TokenSigner(TokenSigner&&) noexcept = default;
TokenSigner::~TokenSigner() = default;

std::string TokenSigner::SignEs256(const Ear& ear) const {
  const std::string input =
      SigningInput(kEs256, keys_->ec_public.key_id(), EncodeClaims(ear));
  EcPrivateKey::Signature signature =
      keys_->ec.SignDigest(Hash(HashAlgorithm::kSha256, AsBytes(input)));
  signature.r.insert(signature.r.end(), signature.s.begin(), signature.s.end());
  return Join(input, signature.r);
}

absl::StatusOr<std::string> TokenSigner::SignMlDsa(const Ear& ear) const {
  if (!keys_->pq) {
    return absl::FailedPreconditionError("no ML-DSA key signs results here");
  }
  const std::string input =
      SigningInput(keys_->pq_public->algorithm(), keys_->pq_public->key_id(),
                   EncodeClaims(ear));
  ASSIGN_OR_RETURN_WITH(const Bytes signature,
                        keys_->pq->Sign(AsBytes(input), ""),
                        "signing a result");
  return Join(input, signature);
}

std::vector<VerificationKey> TokenSigner::keys() const {
  std::vector<VerificationKey> keys = {keys_->ec_public};
  if (keys_->pq_public) {
    keys.push_back(*keys_->pq_public);
  }
  return keys;
}

}  // namespace vmattest::token
