#ifndef VMATTEST_EVENTLOG_BOOT_LOG_H_
#define VMATTEST_EVENTLOG_BOOT_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

// The firmware's measured-boot log, as the kernel gives it: TCG PC Client
// Platform Firmware Profile 1.06, section 10 (SHA-1 and crypto-agile), and the
// same format of confidential VMs (CCEL). Hostile bytes; pure; any thread.
//
// Nobody signs what an event says it is: its type and data are shown to
// people, and no decision rests on them. Digests are proven by replay.

namespace vmattest::eventlog {

inline constexpr size_t kMaxBootLog = 16u << 20;
inline constexpr uint32_t kEventNoAction = 0x00000003;

struct BootEvent {
  uint32_t register_index = 0;  // PCR; in CCEL 1 is RTMR0
  uint32_t type = 0;
  std::map<uint16_t, Bytes> digests;  // by TPM_ALG_ID
  Bytes data;
  size_t offset = 0;  // in the log
};

struct BootLog {
  bool crypto_agile = false;
  std::vector<uint16_t> banks;    // TPM_ALG_ID
  std::vector<BootEvent> events;  // without the header
  uint8_t startup_locality = 0;   // 0, 3 or 4: where PCR 0 starts
  size_t trailing_padding = 0;    // bytes of 0xFF or 0x00 after the last event
};

// INVALID_ARGUMENT names the event, counted from 0, and its offset.
absl::StatusOr<BootLog> ParseBootLog(ByteView bytes);

// The registers that the log extends, by index. INVALID_ARGUMENT: the log has
// no such bank, or it is of an algorithm that is not known here.
absl::StatusOr<std::map<uint32_t, Bytes>> ReplayBootLog(const BootLog& log,
                                                        uint16_t bank);

// Whether one of the digests extended is that of a separator: of the 32 bits
// 0, 1 or 0xFFFFFFFF (rule S9). The type that the event claims does not count.
bool HasSeparator(const BootLog& log, uint16_t bank, uint32_t register_index);

// "EV_SEPARATOR"; "0x0000abcd" if it has no name. For people.
std::string BootEventTypeName(uint32_t type);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_BOOT_LOG_H_
