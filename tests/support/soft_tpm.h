#ifndef VMATTEST_TESTS_SUPPORT_SOFT_TPM_H_
#define VMATTEST_TESTS_SUPPORT_SOFT_TPM_H_

#include <map>
#include <memory>
#include <string>

#include "base/secret_bytes.h"
#include "evidence/host_identity.h"
#include "evidence/tpm_structures.h"

// The bytes that a TPM would make, made by OpenSSL: keys, signatures and
// structures (TPM 2.0 Library, Part 2). What it signs may be as wrong as a
// test wants. Not thread-safe beyond reading.

namespace vmattest::testing {

inline constexpr uint16_t kTpmAlgSha256 = 0x000B;
inline constexpr uint16_t kTpmAlgSha384 = 0x000C;
inline constexpr uint16_t kTpmAlgNull = 0x0010;
inline constexpr uint16_t kTpmAlgEcdsa = 0x0018;
// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
inline constexpr uint32_t kSigningKeyAttributes = 0x00050072;
// The same with adminWithPolicy and decrypt: an EK by the TCG's template.
inline constexpr uint32_t kEkAttributes = 0x000300B2;

Bytes EncodeAttest(const evidence::Attest& attest);
Bytes EncodeEcdsaSignature(const evidence::EcdsaSignature& signature);
// TPM2B_PUBLIC; decrypt keys get AES-128-CFB as their symmetric algorithm.
Bytes EncodeEccPublic(const evidence::EccPublicArea& area);

// An ECDSA P-256 key under the endorsement hierarchy.
class SoftKey {
 public:
  explicit SoftKey(uint32_t attributes = kSigningKeyAttributes);
  SoftKey(SoftKey&&) noexcept;
  SoftKey& operator=(SoftKey&&) noexcept;
  ~SoftKey();
  // The same key again.
  [[nodiscard]] SoftKey Copy() const;

  [[nodiscard]] const Bytes& public_area() const { return public_area_; }
  [[nodiscard]] const Bytes& name() const { return name_; }
  [[nodiscard]] const Bytes& qualified_name() const { return qualified_name_; }
  // What TPM2_ActivateCredential does with this key as EK (P-256, SHA-256,
  // AES-128): the secret of a credential that was made for `object_name`.
  // Composed from hashes and HMACs alone, so that it shares nothing with the
  // verifier's side. INVALID_ARGUMENT: not for it.
  [[nodiscard]] absl::StatusOr<SecretBytes> Activate(
      ByteView object_name, ByteView credential_blob,
      ByteView encrypted_secret) const;
  // TPMT_SIGNATURE over SHA-256 of `message`.
  [[nodiscard]] Bytes Sign(ByteView message) const;

 private:
  struct Key;
  std::unique_ptr<Key> key_;
  Bytes public_area_;
  Bytes name_;
  Bytes qualified_name_;
};

// A host's key hierarchy: EK, AK, and one certified key for each purpose.
class SoftHost {
 public:
  explicit SoftHost(std::string hostname = "host-1");

  SoftKey ek{kEkAttributes};
  SoftKey ak;
  std::map<KeyPurpose, SoftKey> purpose_keys;
  std::string hostname;
  uint32_t epoch = 1;
  TpmClock provisioned_at = {
      .clock_ms = 1'000, .reset_count = 1, .restart_count = 0, .safe = true};

  [[nodiscard]] std::string host_id() const;
  // What TPM2_Certify by the AK gives; sign it with CertifyWith.
  [[nodiscard]] evidence::Attest CertifyInfo(KeyPurpose purpose,
                                             const SoftKey& key) const;
  [[nodiscard]] evidence::KeyCertification CertifyWith(
      KeyPurpose purpose, const SoftKey& key,
      const evidence::Attest& info) const;
  [[nodiscard]] evidence::KeyCertification Certify(KeyPurpose purpose) const;
  [[nodiscard]] evidence::HostIdentity Identity() const;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SOFT_TPM_H_
