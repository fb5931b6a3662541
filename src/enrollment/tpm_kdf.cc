#include "enrollment/tpm_kdf.h"

#include <openssl/core_names.h>

#include <vector>

#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest::enrollment {
namespace {

OSSL_PARAM Text(const char* key, const char* value) {
  return OSSL_PARAM_construct_utf8_string(key, const_cast<char*>(value), 0);
}

OSSL_PARAM Octets(const char* key, ByteView value) {
  return OSSL_PARAM_construct_octet_string(
      key, const_cast<uint8_t*>(value.data()), value.size());
}

// Fetching takes longer than deriving does.
EvpKdfHandle Fetch(const char* name) {
  EvpKdfHandle kdf(EVP_KDF_fetch(nullptr, name, nullptr));
  RequireOpenSsl(kdf != nullptr, name);
  return kdf;
}

SecretBytes Derive(EVP_KDF* kdf, std::vector<OSSL_PARAM> params, size_t size) {
  params.push_back(OSSL_PARAM_construct_end());
  const EvpKdfCtxHandle context(EVP_KDF_CTX_new(kdf));
  Bytes derived(size);
  RequireOpenSsl(context && EVP_KDF_derive(context.get(), derived.data(), size,
                                           params.data()) == 1,
                 "EVP_KDF_derive");
  return SecretBytes(std::move(derived));
}

}  // namespace

const char* TpmHashName(HashAlgorithm hash) {
  RequireOpenSsl(
      hash == HashAlgorithm::kSha256 || hash == HashAlgorithm::kSha384,
      "naming a TPM's hash");
  return hash == HashAlgorithm::kSha256 ? "SHA256" : "SHA384";
}

SecretBytes Kdfa(HashAlgorithm hash, const SecretBytes& key,
                 std::string_view label, ByteView context, size_t size) {
  static const EvpKdfHandle kdf = Fetch("KBKDF");
  std::vector<OSSL_PARAM> params = {
      Text(OSSL_KDF_PARAM_MODE, "counter"), Text(OSSL_KDF_PARAM_MAC, "HMAC"),
      Text(OSSL_KDF_PARAM_DIGEST, TpmHashName(hash)),
      Octets(OSSL_KDF_PARAM_KEY, key.Reveal(SecretAccess())),
      // KBKDF calls the label salt, writes the 0x00 and the length itself.
      Octets(OSSL_KDF_PARAM_SALT, AsBytes(label))};
  if (!context.empty()) {
    params.push_back(Octets(OSSL_KDF_PARAM_INFO, context));
  }
  return Derive(kdf.get(), std::move(params), size);
}

SecretBytes Kdfe(HashAlgorithm hash, const SecretBytes& z,
                 std::string_view label, ByteView party_u, ByteView party_v,
                 size_t size) {
  static const EvpKdfHandle kdf = Fetch("SSKDF");
  ByteWriter info;
  info.Raw(label).U8(0).Raw(party_u).Raw(party_v);
  return Derive(kdf.get(),
                {Text(OSSL_KDF_PARAM_DIGEST, TpmHashName(hash)),
                 Octets(OSSL_KDF_PARAM_KEY, z.Reveal(SecretAccess())),
                 Octets(OSSL_KDF_PARAM_INFO, info.bytes())},
                size);
}

}  // namespace vmattest::enrollment
