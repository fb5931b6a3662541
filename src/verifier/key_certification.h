#ifndef VMATTEST_VERIFIER_KEY_CERTIFICATION_H_
#define VMATTEST_VERIFIER_KEY_CERTIFICATION_H_

#include "verifier/context.h"

namespace vmattest::verifier {

// What an anchor says about a host, parsed.
struct Anchors::Host {
  evidence::HostIdentity identity;
  Bytes ek_name;
  evidence::EccPublicArea ak;
  Bytes ak_qualified_name;
  // Which purpose each key name is pinned for.
  std::map<Bytes, KeyPurpose> purposes;
};

// Whether the host's AK certified `key` for the purpose and epoch that it
// claims, as a primary key of the endorsement hierarchy that signs only what
// the TPM made. `area` is `key.public_area`, parsed.
CheckResult CheckCertification(const evidence::KeyCertification& key,
                               const evidence::EccPublicArea& area,
                               const Anchors::Host& host);

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
