#ifndef VMATTEST_SIGNING_LOG_FILE_H_
#define VMATTEST_SIGNING_LOG_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "eventlog/host_log.h"

// One file of the host event log: the records of one boot, the boot record
// first (docs/formats/host-event-log.md). Pure; callable from any thread.

namespace vmattest::signing {

// The facts of a "log-loss" event: the log goes on, and this is where from.
struct LossFacts {
  std::string reason;
  // Records that are known to be missing; 0: none, or nobody knows which.
  uint64_t first_missing = 0;
  uint64_t last_missing = 0;
  eventlog::LogHead previous;  // before this record
  Bytes log_pcr;  // the PCR before this record, if it disagreed; else empty
};
eventlog::HostEvent MakeLossEvent(const LossFacts& facts, int64_t time_unix_ms);
// INVALID_ARGUMENT names the fact.
absl::StatusOr<LossFacts> ParseLossEvent(const eventlog::HostEvent& event);

inline constexpr std::string_view kBootEvent = "boot";
inline constexpr std::string_view kLossEvent = "log-loss";
inline constexpr std::string_view kStoppedEvent = "daemon-stopped";

struct FileRecord {
  Bytes digest;  // what the log PCR is extended with
  Bytes pcr_before;
  Bytes pcr_after;
  eventlog::LogHead before;
  eventlog::LogHead after;
};

// What can be believed of a file: its records up to the first that is no
// record, or not the next one.
struct LogFileContent {
  std::vector<FileRecord> records;
  uint64_t boot_record = 0;  // number of the first
  eventlog::BootFacts boot;
  bool closed = false;              // the last one is the close record
  std::vector<std::string> losses;  // "record 12: ..."
  size_t valid_size = 0;            // bytes of those records
  std::string damage;               // why it ends there; empty: it is the end
};

// `bank` is that of the log PCR. Never fails: at worst there are no records.
LogFileContent ReadLogFile(ByteView file, HashAlgorithm bank);

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_LOG_FILE_H_
