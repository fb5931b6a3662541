#include "crypto/tpm_digest.h"

#include <openssl/evp.h>

#include <array>

#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest {
namespace {

struct Known {
  uint16_t algorithm;
  size_t size;
  std::string_view name;
  const char* openssl_name;
};

constexpr std::array<Known, 7> kKnown = {{
    {kTpmAlgIdSha1, 20, "sha1", "SHA1"},
    {kTpmAlgIdSha256, 32, "sha256", "SHA2-256"},
    {kTpmAlgIdSha384, 48, "sha384", "SHA2-384"},
    {kTpmAlgIdSha512, 64, "sha512", "SHA2-512"},
    {0x0027, 32, "sha3-256", "SHA3-256"},
    {0x0028, 48, "sha3-384", "SHA3-384"},
    {0x0029, 64, "sha3-512", "SHA3-512"},
}};

const Known* Find(uint16_t algorithm) {
  for (const Known& known : kKnown) {
    if (known.algorithm == algorithm) {
      return &known;
    }
  }
  return nullptr;
}

// Fetched once and never freed, as in digest.cc.
const EVP_MD* Fetched(const Known& known) {
  static const auto& digests = *new std::array<EVP_MD*, kKnown.size()>([] {
    std::array<EVP_MD*, kKnown.size()> fetched{};
    for (size_t i = 0; i < kKnown.size(); ++i) {
      fetched.at(i) = EVP_MD_fetch(nullptr, kKnown.at(i).openssl_name, nullptr);
      RequireOpenSsl(fetched.at(i) != nullptr, "fetching a digest");
    }
    return fetched;
  }());
  return digests.at(static_cast<size_t>(&known - kKnown.data()));
}

}  // namespace

size_t TpmDigestSize(uint16_t algorithm) {
  const Known* known = Find(algorithm);
  return known == nullptr ? 0 : known->size;
}

std::string_view TpmDigestName(uint16_t algorithm) {
  const Known* known = Find(algorithm);
  return known == nullptr ? std::string_view() : known->name;
}

std::optional<uint16_t> ParseTpmDigestName(std::string_view name) {
  for (const Known& known : kKnown) {
    if (known.name == name) {
      return known.algorithm;
    }
  }
  return std::nullopt;
}

DigestBytes TpmHash(uint16_t algorithm, std::initializer_list<ByteView> parts) {
  const Known* known = Find(algorithm);
  RequireOpenSsl(known != nullptr, "a digest of an unknown algorithm");
  thread_local const EvpMdCtxHandle context(EVP_MD_CTX_new());
  RequireOpenSsl(
      EVP_DigestInit_ex2(context.get(), Fetched(*known), nullptr) == 1,
      "EVP_DigestInit_ex2");
  for (const ByteView part : parts) {
    RequireOpenSsl(
        EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1,
        "EVP_DigestUpdate");
  }
  DigestBytes digest(known->size);
  RequireOpenSsl(EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1,
                 "EVP_DigestFinal_ex");
  return digest;
}

std::optional<uint16_t> TpmAlgorithmOf(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha256:
      return kTpmAlgIdSha256;
    case HashAlgorithm::kSha384:
      return kTpmAlgIdSha384;
    case HashAlgorithm::kSha512:
      return kTpmAlgIdSha512;
    case HashAlgorithm::kSha3_256:
      return 0x0027;
    case HashAlgorithm::kBlake3:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace vmattest
