#ifndef VMATTEST_EVIDENCE_SEAL_AUTHORITY_H_
#define VMATTEST_EVIDENCE_SEAL_AUTHORITY_H_

#include <filesystem>
#include <string_view>

#include "crypto/ec_private_key.h"
#include "evidence/seal_policy.h"

// The key that approves boots (rule S5): ECDSA P-256, of an operator, or the
// host's own. Callable from any thread.

namespace vmattest::evidence {

// TPM2B_PUBLIC of such a key, as it is given to TPM2_LoadExternal: its TPM
// name (NameOf) goes into the sealed objects' policy.
Bytes AuthorityPublic(const EcPublicKey& key);
// From the public key's PEM, or INVALID_ARGUMENT.
absl::StatusOr<Bytes> AuthorityPublic(std::string_view pem);

// OK if `public_area` is what AuthorityPublic makes; else INVALID_ARGUMENT.
absl::Status CheckAuthority(ByteView public_area);

// Whether the signature is the authority's. A wrong approval, too, is false.
[[nodiscard]] bool ApprovalHolds(const SealApproval& approval,
                                 ByteView authority);

class SealAuthority {
 public:
  // From a PEM file of a private key. NOT_FOUND, PERMISSION_DENIED;
  // INVALID_ARGUMENT: another kind of key, or an encrypted one.
  static absl::StatusOr<SealAuthority> Load(const std::filesystem::path& path);
  // The same; makes the key (mode 0600) if there is no such file.
  static absl::StatusOr<SealAuthority> LoadOrGenerate(
      const std::filesystem::path& path);

  [[nodiscard]] const Bytes& public_area() const { return public_area_; }
  // Fills in `approval.signature`. INVALID_ARGUMENT as ApprovedPolicy.
  absl::Status Sign(SealApproval& approval) const;

 private:
  explicit SealAuthority(EcPrivateKey key);

  EcPrivateKey key_;
  Bytes public_area_;
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_SEAL_AUTHORITY_H_
