#ifndef VMATTEST_EVENTLOG_HOST_LOG_H_
#define VMATTEST_EVENTLOG_HOST_LOG_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eventlog/cel.h"
#include "eventlog/host_event.h"
#include "eventlog/host_log_chain.h"

// The host event log as a whole (docs/formats/host-event-log.md): how a record
// is made of an event, and how records are judged. Pure; any thread.

namespace vmattest::eventlog {

// Digest of a record's content. What ExtendLog gives the TPM: in the bank that
// is quoted. The chain (LogHead) always takes SHA-256.
DigestBytes RecordDigest(HashAlgorithm bank, ByteView content);

// Record `number`: the first record ever is number 1, so that the head after
// record n has size n. Its digests are SHA-256's and, if that is another one,
// `bank`'s.
CelRecord MakeHostRecord(uint64_t number, uint8_t pcr, HashAlgorithm bank,
                         const HostEvent& event);

// The facts of a "boot" record. It stands first in a log and again at each
// boot, and says what the log was before: its own number is previous_size + 1.
struct BootFacts {
  LogHead previous;
  uint64_t boot_count = 0;
  uint32_t reset_count = 0;
  uint32_t restart_count = 0;
  bool closed = true;
  friend bool operator==(const BootFacts&, const BootFacts&) = default;
};
HostEvent MakeBootEvent(const BootFacts& facts, int64_t time_unix_ms);
// INVALID_ARGUMENT names the fact.
absl::StatusOr<BootFacts> ParseBootEvent(const HostEvent& event);

// What makes records no host event log.
struct HostLogProblem {
  enum class Kind : uint8_t {
    kNone,
    kEmpty,    // no records
    kMissing,  // a number is left out
    kOrder,    // numbers are all there, but not in order, or one twice
    kPcr,      // of another PCR than the log's
    kDigest,   // digests are not the content's, or not the right ones
    kContent,  // not a host event
    kBoot,     // a boot record contradicts what is before it
  };
  Kind kind = Kind::kNone;
  uint64_t record = 0;  // its number
  std::string expected;
  std::string found;
};

// Something that a reader must know and that is no contradiction.
struct HostLogFact {
  enum class Kind : uint8_t {
    kUncleanBoot,  // the boot before was not closed by a record
    kLost,         // something of the log is missing, and the log says so
  };
  Kind kind = Kind::kUncleanBoot;
  uint64_t record = 0;      // that says so
  uint64_t first_lost = 0;  // 0: nobody knows which
  uint64_t last_lost = 0;
  std::string detail;  // the host's own words; may be empty
  friend bool operator==(const HostLogFact&, const HostLogFact&) = default;
};

struct HostLogReplay {
  HostLogProblem problem;          // kNone: everything below holds
  LogHead start;                   // before the first record
  std::vector<DigestBytes> heads;  // after each record
  std::vector<size_t> boots;       // positions of boot records
  BootFacts boot;                  // of the last one
  // The log PCR after each record of the last boot, from its boot record on.
  std::vector<DigestBytes> pcrs;
  std::vector<HostLogFact> facts;
};

// Replays records that begin with a boot record. Only boot and "log-loss"
// records may leave numbers out; they say what the log was before, and then it
// is a fact (kLost). A boot record counts one more than the one before it.
// `bank` is that of the log
// PCR. Linear; 100,000 records take less than a second.
HostLogReplay ReplayHostLog(std::span<const CelRecord> records, uint8_t pcr,
                            HashAlgorithm bank);

// How many of the records a quote covers: up to that after which the log PCR
// was `value`. None: no record of the last boot.
std::optional<size_t> CoveredRecords(const HostLogReplay& replay,
                                     ByteView value);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_HOST_LOG_H_
