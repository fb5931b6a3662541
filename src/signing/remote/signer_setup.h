#ifndef VMATTEST_SIGNING_REMOTE_SIGNER_SETUP_H_
#define VMATTEST_SIGNING_REMOTE_SIGNER_SETUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/status.h"

namespace vmattest::signing {

// What vmattest-signer is told when it starts, once. Keys of the configuration
// (docs/configuration.md) unless said otherwise.
struct SignerSetup {
  std::string tcti;
  std::vector<uint32_t> pcrs;
  uint16_t pcr_bank = 0x000B;
  uint32_t log_pcr = 13;
  uint32_t persistent_handle_base = 0;
  uint32_t log_index = 0;
  uint32_t counter_index = 0;
  SecretBytes key_auth;
  SecretBytes owner_auth;
  SecretBytes endorsement_auth;
  std::string state_dir;  // the signer's own folder, mode 0700
  std::string pin_file;   // of the TPM's identity
  std::string hostname;
  uint32_t max_pending = 1024;
  std::string post_quantum = "preferred";  // "off", "required"
  std::string ml_dsa = "ml-dsa-65";
  std::string module;
  std::string seal_authority_pem;
  uint32_t rotate_days = 0;
  uint32_t overlap_days = 0;
  std::string log_level = "info";
};

// One message of the channel. It holds secrets: so has the result.
SecretBytes EncodeSetup(const SignerSetup& setup);
// INVALID_ARGUMENT: no setup.
absl::StatusOr<SignerSetup> ParseSetup(const SecretBytes& message);

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_REMOTE_SIGNER_SETUP_H_
