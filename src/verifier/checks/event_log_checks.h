#ifndef VMATTEST_VERIFIER_CHECKS_EVENT_LOG_CHECKS_H_
#define VMATTEST_VERIFIER_CHECKS_EVENT_LOG_CHECKS_H_

#include "eventlog/boot_log.h"
#include "eventlog/bundle.h"
#include "eventlog/host_log.h"
#include "verifier/context.h"
#include "vmattest/verifier/event_log.h"

// The checks of a host event log, in the order in which they run; each relies
// on the ones before it, and on all checks of the evidence.

namespace vmattest::verifier {

// All that they look at. Refers to `context`, which must have a host_log.
struct EventLogContext {
  EventLogContext(const Context& checked, const eventlog::Bundle& files,
                  uint64_t from)
      : context(checked),
        bundle(files),
        statement(*checked.host_log),
        from_record(from) {}

  const Context& context;
  const eventlog::Bundle& bundle;
  const evidence::HostLogStatement& statement;
  const uint64_t from_record;
  eventlog::HostLogReplay replay;  // once the records are checked
  size_t covered = 0;              // records, once the log PCR is checked
  eventlog::BootLog boot_log;      // once that is checked

  [[nodiscard]] const PcrValues& bank() const {
    return context.quote->pcr_banks.front();
  }
  // Head after record `number`, which is of the quoted boot; null if it is not
  // there.
  [[nodiscard]] const DigestBytes* HeadAfter(uint64_t number) const;
};

// Gapless, well-formed, from the record demanded on, to the signed head.
CheckResult CheckEventLogRecords(EventLogContext& log);
// TPM2_NV_Certify by the AK over the pinned index, which is not behind.
CheckResult CheckEventLogAnchor(const EventLogContext& log);
// The quoted log PCR is that after the last record, and of this boot.
CheckResult CheckEventLogPcr(EventLogContext& log);
// The firmware's log is the one signed and replays to the quoted boot PCRs,
// each of which has a separator (rule S9).
CheckResult CheckBootLog(EventLogContext& log);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_CHECKS_EVENT_LOG_CHECKS_H_
