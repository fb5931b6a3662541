#ifndef VMATTEST_TESTS_SUPPORT_SEALED_SEED_BUILDER_H_
#define VMATTEST_TESTS_SUPPORT_SEALED_SEED_BUILDER_H_

#include <functional>
#include <string>
#include <vector>

#include "evidence/host_identity.h"
#include "evidence/tpm_structures.h"
#include "support/soft_tpm.h"

namespace vmattest::testing {

// Makes a post-quantum key whose seed a TPM seems to have sealed, with every
// field free to be wrong: what is changed here is then hashed, named and
// signed as it is.
class SealedSeedBuilder {
 public:
  // `host` must outlive the builder. `authority_name`: a TPM name.
  SealedSeedBuilder(const SoftHost& host, Bytes authority_name);

  std::string algorithm = "ml-dsa-65";
  KeyPurpose purpose = KeyPurpose::kConfig;
  uint32_t epoch = 1;
  Bytes public_key = Bytes(1952, 0x5A);
  // Of the sealed object.
  uint16_t type = 0x0008;       // TPM_ALG_KEYEDHASH
  uint32_t attributes = 0x492;  // TPMA_OBJECT
  Bytes policy;                 // empty: the right one
  std::vector<evidence::PcrSelection> creation_pcrs = {
      {0x000B, {0, 1, 2, 3, 4, 5, 6, 7}}};
  Bytes outside_info;  // empty: the right one
  std::function<void(evidence::Attest&)> edit_attest;

  [[nodiscard]] evidence::PqKey Build() const;

 private:
  const SoftHost& host_;
  const Bytes authority_name_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SEALED_SEED_BUILDER_H_
