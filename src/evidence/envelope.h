#ifndef VMATTEST_EVIDENCE_ENVELOPE_H_
#define VMATTEST_EVIDENCE_ENVELOPE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/digest.h"
#include "vmattest/types/tpm.h"

// The signed envelope (docs/formats/evidence.md). Values and pure functions;
// callable from any thread.

namespace vmattest::evidence {

inline constexpr std::string_view kTpmQuoteAlgorithm = "tpm2-quote";
inline constexpr std::string_view kMlDsa65Algorithm = "ml-dsa-65";
inline constexpr std::string_view kMlDsa87Algorithm = "ml-dsa-87";
inline constexpr std::string_view kConfigPayloadType =
    "application/vnd.vmattest.config.v1+protobuf";
inline constexpr std::string_view kHostLogPayloadType =
    "application/vnd.vmattest.host-log.v1+protobuf";
inline constexpr std::string_view kStatePayloadType =
    "application/vnd.vmattest.state.v1+protobuf";
// FIPS 204 context string of signatures over a pre-authentication encoding.
inline constexpr std::string_view kMlDsaContext = "vmattest/envelope/v1";

// RFC 6962 audit path in the tree of envelopes that one quote covers.
struct BatchProof {
  uint64_t index = 0;
  uint64_t size = 0;
  std::vector<DigestBytes> path;
};

struct TpmQuoteSignature {
  Bytes key_name;   // nameAlg || digest
  Bytes quoted;     // TPMS_ATTEST
  Bytes signature;  // TPMT_SIGNATURE
  std::vector<PcrValues> pcr_banks;
  BatchProof batch;
};

// Over the pre-authentication encoding itself.
struct RawSignature {
  Bytes key_id;  // SHA-256 of the public key
  Bytes signature;
};

struct Signature {
  std::string algorithm;
  std::variant<TpmQuoteSignature, RawSignature> body;
};

struct Envelope {
  std::string payload_type;
  Bytes payload;
  std::vector<Signature> signatures;
};

// DSSE v1: "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload.
Bytes PreAuthEncoding(std::string_view payload_type, ByteView payload);

// H(0x00 || "vmattest/batch-leaf/v1" || SHA-256(PAE)), SHA-256 (rule S8).
// `pae_digest` is SHA-256(PAE).
DigestBytes BatchLeaf(ByteView pae_digest);

// SHA-256("vmattest/quote/v1" || 0x00 || purpose name || 0x00 || batch root ||
// batch size as uint64): what the TPM gets as qualifying data (rule S3).
DigestBytes QualifyingData(KeyPurpose purpose, ByteView batch_root,
                           uint64_t batch_size);

// SHA-256("vmattest/certify/v1" || 0x00 || purpose name || 0x00 || epoch as
// uint32): qualifying data of the AK's TPM2_Certify over a purpose key.
DigestBytes CertifyQualifyingData(KeyPurpose purpose, uint32_t epoch);

// SHA-256("vmattest/revoke/v1" || 0x00 || purpose name || 0x00 || epoch as
// uint32): qualifying data of the AK's TPM2_Certify that revokes a key.
DigestBytes RevokeQualifyingData(KeyPurpose purpose, uint32_t epoch);

// SHA-256("vmattest/log-anchor/v1" || 0x00 || `nonce`): qualifying data of the
// AK's TPM2_NV_Certify over the event log's anchor. `nonce` is the statement's.
DigestBytes LogAnchorQualifyingData(ByteView nonce);

// The purpose of the only key that may sign such a payload (rule S2).
// NOT_FOUND: no such payload type.
absl::StatusOr<KeyPurpose> PurposeOf(std::string_view payload_type);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_ENVELOPE_H_
