#ifndef VMATTEST_BASELINE_GUEST_REPORT_H_
#define VMATTEST_BASELINE_GUEST_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "vmattest/types/digest.h"

// What a guest says of itself (docs/formats/guest-report.md): asked by its
// agent, once there is one, or handed in by whoever looks after it. Nobody
// believes it; cross_view.h compares it. Values and pure functions; any thread.

namespace vmattest::baseline {

struct GuestTask {
  uint32_t pid = 0;
  std::string comm;  // as records of processes have it
  friend bool operator==(const GuestTask&, const GuestTask&) = default;
};

struct GuestReport {
  std::string vm_uuid;  // lower case
  DigestBytes after;    // SHA-256 of the statement of a snapshot before it
  std::string release;  // empty: not told
  std::string cmdline;  // the same
  std::optional<std::vector<std::string>> modules;  // sorted, each once
  std::optional<std::vector<GuestTask>> tasks;      // by pid, each once
};

inline constexpr size_t kMaxGuestReport = 3u << 20;
Bytes Encode(const GuestReport& report);
// Strict as wire/codec.h is; hostile bytes. INVALID_ARGUMENT names the field.
absl::StatusOr<GuestReport> ParseGuestReport(ByteView bytes);

// With what a snapshot must answer that is compared with it: SHA-256 of its
// encoding.
Bytes NonceOf(const GuestReport& report);

// The text of /proc/modules, in any order. INVALID_ARGUMENT names the line.
absl::StatusOr<std::vector<std::string>> ParseProcModules(
    std::string_view text);

// Lines of a pid and a name, as `ps -e -o pid,comm` writes them, with its
// heading or without. INVALID_ARGUMENT names the line.
absl::StatusOr<std::vector<GuestTask>> ParseTaskList(std::string_view text);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_GUEST_REPORT_H_
