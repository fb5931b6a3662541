#ifndef VMATTEST_TYPES_DIGEST_H_
#define VMATTEST_TYPES_DIGEST_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace vmattest {

// The numbers are on the wire and in signed bytes: never renumber.
enum class HashAlgorithm : uint8_t {
  kSha256 = 1,
  kSha384 = 2,
  kSha512 = 3,
  kSha3_256 = 4,
  kBlake3 = 5,
};

inline constexpr HashAlgorithm kAllHashAlgorithms[] = {
    HashAlgorithm::kSha256, HashAlgorithm::kSha384, HashAlgorithm::kSha512,
    HashAlgorithm::kSha3_256, HashAlgorithm::kBlake3};

// The names used in files, flags and results: "sha256", "sha3-256", "blake3"...
constexpr std::string_view ToString(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha256:
      return "sha256";
    case HashAlgorithm::kSha384:
      return "sha384";
    case HashAlgorithm::kSha512:
      return "sha512";
    case HashAlgorithm::kSha3_256:
      return "sha3-256";
    case HashAlgorithm::kBlake3:
      return "blake3";
  }
  return "unknown";
}

constexpr std::optional<HashAlgorithm> ParseHashAlgorithm(
    std::string_view name) {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    if (name == ToString(algorithm)) {
      return algorithm;
    }
  }
  return std::nullopt;
}

// Bytes of a digest.
constexpr size_t DigestSize(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha384:
      return 48;
    case HashAlgorithm::kSha512:
      return 64;
    case HashAlgorithm::kSha256:
    case HashAlgorithm::kSha3_256:
    case HashAlgorithm::kBlake3:
      return 32;
  }
  return 0;
}

// A digest without its algorithm: the context (a tree, a statement) names it.
using DigestBytes = std::vector<uint8_t>;

}  // namespace vmattest

#endif  // VMATTEST_TYPES_DIGEST_H_
