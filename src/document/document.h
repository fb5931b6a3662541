#ifndef VMATTEST_DOCUMENT_DOCUMENT_H_
#define VMATTEST_DOCUMENT_DOCUMENT_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "crypto/ecdsa.h"
#include "crypto/ml_dsa.h"
#include "vmattest/types/verdict.h"

// Documents signed by people or by the Trust Authority: an envelope with
// ECDSA P-256 and, for keys that have it, ML-DSA beside it (rule S4;
// docs/formats/documents.md). Everything here is callable from any thread.

namespace vmattest::document {

inline constexpr std::string_view kReferencePayloadType =
    "application/vnd.vmattest.reference.v1+protobuf";
inline constexpr std::string_view kHostRecordPayloadType =
    "application/vnd.vmattest.host-record.v1+protobuf";
inline constexpr std::string_view kBreakGlassPayloadType =
    "application/vnd.vmattest.break-glass.v1+protobuf";
inline constexpr std::string_view kEcdsaP256Algorithm = "ecdsa-p256";
inline constexpr size_t kMaxDocumentSize = 4u << 20;

// Who may sign what is configuration: a file "vmattest/public-key/v1", JSON,
// that `vmattest key generate` wrote beside the private one.
struct PublicKey {
  std::string name;  // "alice@ops"; informative
  EcPublicKey ec;
  std::optional<MlDsaPublicKey> pq;
  Bytes pq_bytes;  // empty without one
  // SHA-256("vmattest/document-key/v1" || 0x00 || uncompressed EC point ||
  // pq_bytes): both keys are one, so neither can be swapped alone.
  Bytes key_id;
};
absl::StatusOr<PublicKey> ParsePublicKey(std::string_view json);
std::string PublicKeyToJson(const PublicKey& key);

// A private key, of people's or of the authority's. The file is JSON with the
// EC key as PKCS #8 PEM and the ML-DSA seed as hexadecimal; mode 0600.
class PrivateKey {
 public:
  // Without a level: ECDSA alone. UNAVAILABLE: no ML-DSA in this process.
  static absl::StatusOr<PrivateKey> Generate(std::string name,
                                             std::optional<MlDsaLevel> level);
  static absl::StatusOr<PrivateKey> Parse(const SecretBytes& file);
  PrivateKey(PrivateKey&&) noexcept;
  PrivateKey& operator=(PrivateKey&&) noexcept;
  ~PrivateKey();
  [[nodiscard]] SecretBytes ToFile() const;
  [[nodiscard]] const PublicKey& public_key() const;
  // What signs, in order: goes into DocumentHeader.signature_algorithms.
  [[nodiscard]] std::vector<std::string> algorithms() const;
  // A serialised v1.SignedDocument. INVALID_ARGUMENT: `payload` does not begin
  // with a DocumentHeader whose signature_algorithms are algorithms().
  // INTERNAL: OpenSSL failed.
  [[nodiscard]] absl::StatusOr<Bytes> Sign(std::string_view payload_type,
                                           ByteView payload) const;

 private:
  struct Keys;
  explicit PrivateKey(std::unique_ptr<Keys> keys);
  std::unique_ptr<Keys> keys_;
};

// What a document's signatures came to. Reason codes: "document-malformed",
// "document-type", "document-signer-unknown", "document-signature",
// "document-signature-missing" (a key with ML-DSA needs both),
// "document-pq-unchecked" (no ML-DSA in this process: refused, rule S4).
// The header of the payload must name the very algorithms that signed;
// validity and content are the payload's parser's matter.
struct Opened {
  Verdict verdict;
  Bytes payload;                      // only if trusted
  const PublicKey* signer = nullptr;  // one of `keys`; only if trusted
};
// `keys`: those that may sign such a document.
Opened Open(ByteView file, std::string_view payload_type,
            std::span<const PublicKey> keys);

// What a document says it is, signatures unchecked: for people who look at one.
// INVALID_ARGUMENT: "document-malformed".
struct Unchecked {
  std::string payload_type;
  Bytes payload;
  std::vector<std::string> algorithms;
  Bytes key_id;  // of the first signature; empty if there is none
};
absl::StatusOr<Unchecked> Peek(ByteView file);

}  // namespace vmattest::document

#endif  // VMATTEST_DOCUMENT_DOCUMENT_H_
