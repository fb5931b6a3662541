#ifndef VMATTEST_EVIDENCE_HOST_IDENTITY_H_
#define VMATTEST_EVIDENCE_HOST_IDENTITY_H_

#include <string>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/tpm.h"

namespace vmattest::evidence {

// TPM2_Certify by the AK over a purpose key: what the key is for rests on the
// qualifying data (CertifyQualifyingData), not on the key's position.
struct KeyCertification {
  KeyPurpose purpose = KeyPurpose::kConfig;
  uint32_t epoch = 0;
  Bytes public_area;   // TPM2B_PUBLIC
  Bytes certify_info;  // TPMS_ATTEST
  Bytes signature;     // TPMT_SIGNATURE
};

// TPM2_Certify by the AK over a purpose key that is not to be believed any
// more, with RevokeQualifyingData (evidence/envelope.h).
struct KeyRevocation {
  KeyPurpose purpose = KeyPurpose::kConfig;
  uint32_t epoch = 0;
  Bytes key_name;
  Bytes certify_info;  // TPMS_ATTEST
  Bytes signature;     // TPMT_SIGNATURE
};

// A post-quantum key whose seed the TPM sealed, and TPM2_CertifyCreation by
// the AK over the sealed object (rule S3, evidence/seal_policy.h).
struct PqKey {
  std::string algorithm;  // "ml-dsa-65", "ml-dsa-87"
  KeyPurpose purpose = KeyPurpose::kConfig;
  uint32_t epoch = 0;
  Bytes public_key;     // FIPS 204
  Bytes sealed_public;  // TPM2B_PUBLIC
  Bytes creation_data;  // TPM2B_CREATION_DATA
  Bytes certify_info;   // TPMS_ATTEST
  Bytes signature;      // TPMT_SIGNATURE
};

// What a verifier pins about a host. `host_id` is the hex of the EK's name
// without its two bytes of algorithm, so it cannot be chosen.
struct HostIdentity {
  std::string host_id;
  Bytes ek_public;       // TPM2B_PUBLIC
  Bytes ek_certificate;  // DER; empty if the TPM has none
  Bytes ak_public;       // TPM2B_PUBLIC
  std::string hostname;
  std::string module_version;
  std::vector<KeyCertification> keys;
  std::vector<KeyRevocation> revocations;
  std::vector<PqKey> pq_keys;
  Bytes seal_authority;  // TPM2B_PUBLIC of the key that approves boots
  Bytes log_index;       // TPM2B_NV_PUBLIC of the event log's anchor
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_HOST_IDENTITY_H_
