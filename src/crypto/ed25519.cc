#include "crypto/ed25519.h"

#include <utility>

#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest {

Ed25519PublicKey::Ed25519PublicKey(std::shared_ptr<EVP_PKEY> key)
    : key_(std::move(key)) {}

absl::StatusOr<Ed25519PublicKey> Ed25519PublicKey::Parse(ByteView bytes) {
  const OpenSslErrorScope errors;
  if (bytes.size() != kEd25519KeySize) {
    return absl::InvalidArgumentError("an Ed25519 key is 32 bytes");
  }
  EvpPkeyHandle key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                                bytes.data(), bytes.size()));
  if (key == nullptr) {
    return absl::InvalidArgumentError("not an Ed25519 key");
  }
  return Ed25519PublicKey(std::move(key));
}

bool Ed25519PublicKey::Verify(ByteView message, ByteView signature) const {
  const OpenSslErrorScope errors;
  const EvpMdCtxHandle context(EVP_MD_CTX_new());
  return context && signature.size() == kEd25519SignatureSize &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr,
                              key_.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                          message.data(), message.size()) == 1;
}

Ed25519PrivateKey::Ed25519PrivateKey(std::shared_ptr<EVP_PKEY> key,
                                     Bytes public_key)
    : key_(std::move(key)), public_key_(std::move(public_key)) {}

absl::StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::FromSeed(
    const SecretBytes& seed) {
  const OpenSslErrorScope errors;
  const ByteView bytes = seed.Reveal(SecretAccess());
  if (bytes.size() != kEd25519KeySize) {
    return absl::InvalidArgumentError("an Ed25519 seed is 32 bytes");
  }
  EvpPkeyHandle key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr,
                                                 bytes.data(), bytes.size()));
  Bytes public_key(kEd25519KeySize);
  size_t size = public_key.size();
  RequireOpenSsl(
      key != nullptr &&
          EVP_PKEY_get_raw_public_key(key.get(), public_key.data(), &size) == 1,
      "an Ed25519 key's public half");
  return Ed25519PrivateKey(std::move(key), std::move(public_key));
}

Bytes Ed25519PrivateKey::Sign(ByteView message) const {
  const EvpMdCtxHandle context(EVP_MD_CTX_new());
  Bytes signature(kEd25519SignatureSize);
  size_t size = signature.size();
  RequireOpenSsl(context &&
                     EVP_DigestSignInit(context.get(), nullptr, nullptr,
                                        nullptr, key_.get()) == 1 &&
                     EVP_DigestSign(context.get(), signature.data(), &size,
                                    message.data(), message.size()) == 1,
                 "EVP_DigestSign with Ed25519");
  return signature;
}

}  // namespace vmattest
