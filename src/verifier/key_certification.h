#ifndef VMATTEST_VERIFIER_KEY_CERTIFICATION_H_
#define VMATTEST_VERIFIER_KEY_CERTIFICATION_H_

#include <map>
#include <set>
#include <string>
#include <utility>

#include "verifier/context.h"

namespace vmattest::verifier {

// A post-quantum key that an anchor lists (rule S4).
struct PqKeyInfo {
  std::string algorithm;
  KeyPurpose purpose = KeyPurpose::kConfig;
  uint32_t epoch = 0;
  Bytes public_key;
};

// What an anchor says about a host, parsed.
struct Anchors::Host {
  evidence::HostIdentity identity;
  Bytes ek_name;
  evidence::EccPublicArea ak;
  Bytes ak_qualified_name;
  // Which purpose each key name is pinned for.
  std::map<Bytes, KeyPurpose> purposes;
  std::map<Bytes, PqKeyInfo> pq_keys;  // by key id
  // What its AK said is not to be believed any more.
  std::set<Bytes> revoked_names;
  std::set<std::pair<KeyPurpose, uint32_t>> revoked_epochs;
};

// Whether the host's AK certified `key` for the purpose and epoch that it
// claims, as a primary key of the endorsement hierarchy that signs only what
// the TPM made. `area` is `key.public_area`, parsed.
CheckResult CheckCertification(const evidence::KeyCertification& key,
                               const evidence::EccPublicArea& area,
                               const Anchors::Host& host);

// Whether the host's AK said that the key must not be believed any more.
CheckResult CheckRevocation(const evidence::KeyRevocation& revocation,
                            const Anchors::Host& host);

// Whether the anchors say so of this key, or of the epoch it is certified for.
bool IsRevoked(const evidence::KeyCertification& key,
               const evidence::EccPublicArea& area, const Anchors::Host& host);

// Whether `signature` (TPMT_SIGNATURE, parsed) by `key` is over `message`, by
// the key's own scheme.
bool SignatureHolds(const evidence::EccPublicArea& key, ByteView message,
                    const evidence::EcdsaSignature& signature);

// Restricted signing key, ECDSA with SHA-256 or SHA-384.
CheckResult CheckSigningKey(const evidence::EccPublicArea& key,
                            std::string_view which);

// What a qualified name of a primary endorsement key must be; empty if the
// name has no known algorithm, which equals no signer.
Bytes QualifiedName(const evidence::EccPublicArea& key);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_KEY_CERTIFICATION_H_
