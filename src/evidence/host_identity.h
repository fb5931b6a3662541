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
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_HOST_IDENTITY_H_
