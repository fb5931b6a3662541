#ifndef VMATTEST_DOCUMENT_PRIVATE_KEY_H_
#define VMATTEST_DOCUMENT_PRIVATE_KEY_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/ec_private_key.h"
#include "document/document.h"

// What keys.cc and document.cc of this folder share.

namespace vmattest::document {

struct PrivateKey::Keys {
  EcPrivateKey ec;
  std::optional<MlDsaKey> pq;
  SecretBytes seed;  // empty without `pq`
  PublicKey shown;

  static absl::StatusOr<std::unique_ptr<Keys>> Make(
      std::string name, EcPrivateKey ec,
      std::optional<std::pair<MlDsaLevel, SecretBytes>> pq);
};

// Exactly these must sign, in this order.
std::vector<std::string> AlgorithmsOf(const PublicKey& key);

}  // namespace vmattest::document

#endif  // VMATTEST_DOCUMENT_PRIVATE_KEY_H_
