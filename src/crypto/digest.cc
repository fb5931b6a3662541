#include "crypto/digest.h"

#include <openssl/hmac.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>
#include <variant>

#include "blake3.h"
#include "crypto/blake3_tree.h"
#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

namespace vmattest {
namespace {

const char* OpenSslName(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha256:
      return "SHA2-256";
    case HashAlgorithm::kSha384:
      return "SHA2-384";
    case HashAlgorithm::kSha512:
      return "SHA2-512";
    case HashAlgorithm::kSha3_256:
      return "SHA3-256";
    case HashAlgorithm::kBlake3:
      break;
  }
  std::abort();
}

// Fetched once: an implicit fetch costs more than hashing a small leaf.
// Never freed, so that static destructors may still hash.
const EVP_MD* FetchedDigest(HashAlgorithm algorithm) {
  static const auto& digests = *new std::array<EVP_MD*, 4>([] {
    std::array<EVP_MD*, 4> fetched{};
    for (size_t i = 0; i < fetched.size(); ++i) {
      fetched[i] = EVP_MD_fetch(
          nullptr, OpenSslName(static_cast<HashAlgorithm>(i + 1)), nullptr);
      RequireOpenSsl(fetched[i] != nullptr, "fetching a digest");
    }
    return fetched;
  }());
  return digests.at(static_cast<size_t>(algorithm) - 1);
}

void StartEvp(EVP_MD_CTX* context, HashAlgorithm algorithm) {
  RequireOpenSsl(
      EVP_DigestInit_ex2(context, FetchedDigest(algorithm), nullptr) == 1,
      "EVP_DigestInit_ex2");
}

DigestBytes FinishEvp(EVP_MD_CTX* context, HashAlgorithm algorithm) {
  DigestBytes digest(DigestSize(algorithm));
  unsigned int size = 0;
  RequireOpenSsl(EVP_DigestFinal_ex(context, digest.data(), &size) == 1 &&
                     size == digest.size(),
                 "EVP_DigestFinal_ex");
  return digest;
}

DigestBytes FinishBlake3(const blake3_hasher& hasher) {
  DigestBytes digest(DigestSize(HashAlgorithm::kBlake3));
  blake3_hasher_finalize(&hasher, digest.data(), digest.size());
  return digest;
}

}  // namespace

struct Hasher::State {
  HashAlgorithm algorithm;
  std::variant<EvpMdCtxHandle, blake3_hasher> context;

  void Start() {
    if (auto* evp = std::get_if<EvpMdCtxHandle>(&context)) {
      StartEvp(evp->get(), algorithm);
    } else {
      blake3_hasher_init(&std::get<blake3_hasher>(context));
    }
  }
};

Hasher::Hasher(HashAlgorithm algorithm)
    : state_(std::make_unique<State>(State{algorithm, EvpMdCtxHandle()})) {
  if (algorithm == HashAlgorithm::kBlake3) {
    DetectBlake3Cpu();
    state_->context.emplace<blake3_hasher>();
  } else {
    state_->context = EvpMdCtxHandle(EVP_MD_CTX_new());
  }
  state_->Start();
}

Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

Hasher& Hasher::Update(ByteView data) {
  if (auto* evp = std::get_if<EvpMdCtxHandle>(&state_->context)) {
    RequireOpenSsl(EVP_DigestUpdate(evp->get(), data.data(), data.size()) == 1,
                   "EVP_DigestUpdate");
  } else if (!data.empty()) {
    blake3_hasher_update(&std::get<blake3_hasher>(state_->context), data.data(),
                         data.size());
  }
  return *this;
}

DigestBytes Hasher::Finish() {
  const auto* evp = std::get_if<EvpMdCtxHandle>(&state_->context);
  DigestBytes digest =
      evp != nullptr ? FinishEvp(evp->get(), state_->algorithm)
                     : FinishBlake3(std::get<blake3_hasher>(state_->context));
  state_->Start();
  return digest;
}

DigestBytes Hash(HashAlgorithm algorithm, ByteView data) {
  return algorithm == HashAlgorithm::kBlake3 ? Blake3(data)
                                             : HashParts(algorithm, {data});
}

DigestBytes HashParts(HashAlgorithm algorithm,
                      std::initializer_list<ByteView> parts) {
  // One for each thread: making one costs as much as hashing a small leaf.
  thread_local Hasher hashers[] = {
      Hasher(HashAlgorithm::kSha256), Hasher(HashAlgorithm::kSha384),
      Hasher(HashAlgorithm::kSha512), Hasher(HashAlgorithm::kSha3_256),
      Hasher(HashAlgorithm::kBlake3)};
  Hasher& hasher = hashers[static_cast<size_t>(algorithm) - 1];
  for (const ByteView part : parts) {
    hasher.Update(part);
  }
  return hasher.Finish();
}

DigestBytes HmacSha256(const SecretBytes& key, ByteView data) {
  const ByteView secret = key.Reveal(SecretAccess());
  DigestBytes mac(DigestSize(HashAlgorithm::kSha256));
  unsigned int size = 0;
  // A null key would mean "the previous one" to HMAC().
  static constexpr uint8_t kEmpty = 0;
  RequireOpenSsl(HMAC(EVP_sha256(), secret.empty() ? &kEmpty : secret.data(),
                      static_cast<int>(secret.size()), data.data(), data.size(),
                      mac.data(), &size) != nullptr &&
                     size == mac.size(),
                 "HMAC");
  return mac;
}

Bytes RandomBytes(size_t size) {
  Bytes bytes(size);
  for (size_t done = 0; done < size;) {
    const ssize_t got = getrandom(bytes.data() + done, size - done, 0);
    if (got < 0 && errno != EINTR) {
      std::abort();
    }
    done += got > 0 ? static_cast<size_t>(got) : 0;
  }
  return bytes;
}

}  // namespace vmattest
