#ifndef VMATTEST_VERIFIER_EVENT_LOG_H_
#define VMATTEST_VERIFIER_EVENT_LOG_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmattest/types/verdict.h"
#include "vmattest/verifier/verifier.h"

// Checks a host event log offline (docs/formats/host-event-log.md, rule S1).
// Stateless; callable from any thread.

namespace vmattest::verifier {

struct EventLogPolicy {
  Policy evidence;
  // The log must be there from this record on; 1 is the whole of it. Records
  // that were lost before it are facts, not failures.
  uint64_t from_record = 1;
};

// What is no failure, but must be known: "unclean-boot" (the boot before was
// not closed), "records-lost" (before from_record), "no-boot-log".
struct EventLogFact {
  std::string code;
  uint64_t record = 0;  // that says so; 0: none
  std::string detail;
};

struct EventLogAppraisal {
  Verdict verdict;
  // The evidence is the host's word, whatever the log beside it is.
  bool genuine = false;
  Claims claims;
  // Of records that were replayed.
  uint64_t first_record = 0;
  uint64_t last_record = 0;  // the last that the quote covers
  uint64_t boot_record = 0;  // of the boot that the quote is from
  uint64_t boot_count = 0;
  size_t boot_log_events = 0;
  std::vector<EventLogFact> facts;
};

// `bundle`: the file of `vmattest eventlog export`. The checks of Verify on
// its evidence, then of the records (well-formed, gapless, to the signed
// head), the anchor, the log PCR, the firmware's log, and the policy; the first
// kind that fails ends the appraisal. A bad log is a verdict with reasons,
// never an error. FAILED_PRECONDITION: no anchors, nothing can be decided.
absl::StatusOr<EventLogAppraisal> VerifyEventLog(
    std::string_view bundle, const Anchors& anchors,
    const EventLogPolicy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_EVENT_LOG_H_
