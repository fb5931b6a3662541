#ifndef VMATTEST_TYPES_TPM_H_
#define VMATTEST_TYPES_TPM_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

// Values of a TPM 2.0, decoded: TCG TPM 2.0 Library, Part 2.

namespace vmattest {

// What a key may sign, and nothing else (rule S2). Part of signed bytes.
enum class KeyPurpose : uint8_t {
  kConfig = 1,
  kState = 2,
  kProfile = 3,
  kLiveness = 4,
  kLedger = 5,
  kAuthorization = 6,
};

constexpr std::string_view ToString(KeyPurpose purpose) {
  switch (purpose) {
    case KeyPurpose::kConfig:
      return "config";
    case KeyPurpose::kState:
      return "state";
    case KeyPurpose::kProfile:
      return "profile";
    case KeyPurpose::kLiveness:
      return "liveness";
    case KeyPurpose::kLedger:
      return "ledger";
    case KeyPurpose::kAuthorization:
      return "authorization";
  }
  return "unknown";
}

// TPMS_CLOCK_INFO. Grows lexicographically as (reset_count, restart_count,
// clock_ms) for one endorsement seed (rule S6).
struct TpmClock {
  uint64_t clock_ms = 0;
  uint32_t reset_count = 0;
  uint32_t restart_count = 0;
  bool safe = false;  // NO: clock may have gone back after an unclean stop
  friend bool operator==(const TpmClock&, const TpmClock&) = default;
};

// PCR values of one bank, by index. `bank` is a TPM_ALG_ID (0x000B SHA-256).
struct PcrValues {
  uint16_t bank = 0x000B;
  std::map<uint32_t, std::vector<uint8_t>> values;
  friend bool operator==(const PcrValues&, const PcrValues&) = default;
};

}  // namespace vmattest

#endif  // VMATTEST_TYPES_TPM_H_
