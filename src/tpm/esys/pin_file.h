#ifndef VMATTEST_TPM_ESYS_PIN_FILE_H_
#define VMATTEST_TPM_ESYS_PIN_FILE_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tpm/host_tpm.h"

namespace vmattest::tpm {

// What this host remembers about its TPM, so that another one, or a cleared
// one, is noticed (docs/tpm.md). Versioned JSON, replaced atomically, 0600; the
// first version, which knew no epochs, is read too.
struct TpmPin {
  std::string ek_template;  // "L-2", "H-3"
  Bytes ek_name;
  Bytes ak_name;
  // Every epoch there ever was, by purpose, then by epoch; one of a purpose is
  // active at most.
  std::vector<KeyEpoch> keys;
  std::vector<evidence::KeyRevocation> revocations;
  Bytes log_index;  // TPM2B_NV_PUBLIC, as when written; empty: none yet
  // The newest that the TPM has shown under its own signature (rule S6).
  TpmClock last_clock;
};

// Whether `later` can follow `earlier` in the life of one TPM.
[[nodiscard]] bool ClockFollows(const TpmClock& earlier, const TpmClock& later);

// nullopt: no such file. FAILED_PRECONDITION: it is there and makes no sense;
// the message names the file and what is wrong.
absl::StatusOr<std::optional<TpmPin>> LoadPin(
    const std::filesystem::path& path);
absl::Status StorePin(const std::filesystem::path& path, const TpmPin& pin);

// The same without the file. INVALID_ARGUMENT names the element.
absl::StatusOr<TpmPin> ParsePin(ByteView text);
std::string EncodePin(const TpmPin& pin);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_PIN_FILE_H_
