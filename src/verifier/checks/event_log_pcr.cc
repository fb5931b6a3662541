#include <fmt/format.h>

#include "verifier/checks/event_log_checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckEventLogPcr(EventLogContext& log) {
  const uint32_t index = log.statement.log_pcr;
  const auto value = log.bank().values.find(index);
  if (value == log.bank().values.end()) {
    return CheckResult::Fail(reason::kPcrRequired, fmt::format("PCR {}", index),
                             "quoted: it is the event log's", "it is not");
  }
  const std::optional<size_t> covered =
      eventlog::CoveredRecords(log.replay, value->second);
  if (!covered) {
    return CheckResult::Fail(
        reason::kEventLogPcr, fmt::format("PCR {}", index),
        fmt::format("{} (after the last record), or after one before it",
                    ToHex(log.replay.pcrs.back())),
        ToHex(value->second));
  }
  log.covered = *covered;
  const uint64_t last = log.bundle.records[*covered - 1].number;
  const uint64_t signed_size = log.statement.header.host->log_size;
  if (last < signed_size) {
    return CheckResult::Fail(
        reason::kEventLogPcr, fmt::format("PCR {}", index),
        fmt::format("extended with record {} at least", signed_size),
        fmt::format("only up to record {}", last));
  }
  if (*covered < log.bundle.records.size()) {
    return CheckResult::Fail(
        reason::kEventLogRecordsUncovered,
        fmt::format("records after {}", last),
        fmt::format("no record after {}, the last that the quote covers", last),
        fmt::format("{} more", log.bundle.records.size() - *covered));
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
