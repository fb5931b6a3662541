#ifndef VMATTEST_EVENTLOG_IMA_LOG_H_
#define VMATTEST_EVENTLOG_IMA_LOG_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

// Linux IMA measurement lists, ascii_runtime_measurements and
// binary_runtime_measurements (kernel Documentation/ABI, ima-templates), with
// the templates ima, ima-ng, ima-sig and ima-buf. Hostile bytes; pure.

namespace vmattest::eventlog {

inline constexpr size_t kMaxImaLog = 64u << 20;

struct ImaEntry {
  uint32_t pcr = 0;
  Bytes template_hash;  // all zero for a violation
  std::string template_name;
  std::string digest_algorithm;  // as written, known or not
  // Its TPM_ALG_ID; none for one that is not known here, whatever its size.
  std::optional<uint16_t> known_algorithm;
  Bytes digest;
  std::string path;
  Bytes extra;  // ima-sig: signature, ima-buf: the buffer
  // What the template hash is over. Empty if the template is not known.
  Bytes template_data;

  [[nodiscard]] bool violation() const;
};

struct ImaLog {
  uint16_t bank = 0x0004;  // TPM_ALG_ID of the template hashes
  std::vector<ImaEntry> entries;
};

// INVALID_ARGUMENT names the entry, counted from 0.
absl::StatusOr<ImaLog> ParseImaAscii(std::string_view text);
// `bank`: the list's own algorithm (SHA-1 but for kernels told otherwise).
absl::StatusOr<ImaLog> ParseImaBinary(ByteView bytes, uint16_t bank = 0x0004);

// The PCRs that the list extends, in its own bank. A violation extends ones.
std::map<uint32_t, Bytes> ReplayImaLog(const ImaLog& log);

// Whether the entry's hash is over what the entry says. False for violations,
// which say nothing, and for unknown templates.
bool TemplateHashHolds(const ImaEntry& entry, uint16_t bank);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_IMA_LOG_H_
