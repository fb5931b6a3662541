#include <fmt/format.h>

#include <algorithm>

#include "verifier/checks/event_log_checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

using Kind = eventlog::HostLogProblem::Kind;

constexpr uint16_t kAlgSha384 = 0x000C;

std::string_view CodeOf(Kind kind) {
  switch (kind) {
    case Kind::kEmpty:
    case Kind::kMissing:
      return reason::kEventLogRecordMissing;
    case Kind::kOrder:
      return reason::kEventLogRecordOrder;
    case Kind::kDigest:
      return reason::kEventLogRecordDigest;
    case Kind::kBoot:
      return reason::kEventLogBootRecord;
    case Kind::kPcr:
    case Kind::kContent:
      return reason::kEventLogRecordMalformed;
    case Kind::kNone:
      break;
  }
  return reason::kCheckIncomplete;
}

std::string Record(uint64_t number) { return fmt::format("record {}", number); }

CheckResult CheckBeginning(const EventLogContext& log) {
  const uint64_t first = log.replay.start.size + 1;
  if (first > log.from_record) {
    return CheckResult::Fail(
        reason::kEventLogRecordsLost,
        fmt::format("records {} to {}", log.from_record, first - 1),
        fmt::format("all from record {} on", log.from_record),
        fmt::format("the log begins at record {}", first));
  }
  for (const eventlog::HostLogFact& fact : log.replay.facts) {
    const uint64_t last =
        fact.last_lost == 0 ? fact.record - 1 : fact.last_lost;
    if (fact.kind == eventlog::HostLogFact::Kind::kLost &&
        last >= log.from_record) {
      return CheckResult::Fail(
          reason::kEventLogRecordsLost,
          fact.last_lost == 0 ? "before " + Record(fact.record)
                              : fmt::format("records {} to {}", fact.first_lost,
                                            fact.last_lost),
          fmt::format("all from record {} on", log.from_record),
          fmt::format("record {} says that they are missing{}{}", fact.record,
                      fact.detail.empty() ? "" : ": ", fact.detail));
    }
  }
  return CheckResult::Pass();
}

CheckResult CheckBoot(const EventLogContext& log) {
  const uint64_t number = log.bundle.records[log.replay.boots.back()].number;
  if (number != log.statement.boot_record) {
    return CheckResult::Fail(reason::kEventLogBootRecord,
                             "statement.boot_record", std::to_string(number),
                             std::to_string(log.statement.boot_record));
  }
  const uint32_t reset_count = log.context.attest.clock.reset_count;
  if (log.replay.boot.reset_count != reset_count) {
    return CheckResult::Fail(reason::kEventLogBootRecord,
                             Record(number) + " reset_count",
                             std::to_string(reset_count),
                             std::to_string(log.replay.boot.reset_count));
  }
  return CheckResult::Pass();
}

CheckResult CheckHead(const EventLogContext& log) {
  const evidence::HostState& host = *log.statement.header.host;
  const DigestBytes* head = log.HeadAfter(host.log_size);
  if (head == nullptr) {
    return CheckResult::Fail(
        reason::kEventLogRecordsShort, Record(host.log_size),
        fmt::format("at least {} records", host.log_size),
        fmt::format("the last is record {}", log.bundle.records.back().number));
  }
  if (*head != host.log_head) {
    return CheckResult::Fail(reason::kEventLogHead,
                             "head after " + Record(host.log_size),
                             ToHex(host.log_head), ToHex(*head));
  }
  return CheckResult::Pass();
}

}  // namespace

const DigestBytes* EventLogContext::HeadAfter(uint64_t number) const {
  const std::vector<eventlog::CelRecord>& records = bundle.records;
  const auto record = std::lower_bound(
      records.begin() + static_cast<ptrdiff_t>(replay.boots.back()),
      records.end(), number,
      [](const eventlog::CelRecord& one, uint64_t wanted) {
        return one.number < wanted;
      });
  return record == records.end() || record->number != number
             ? nullptr
             : &replay.heads[static_cast<size_t>(record - records.begin())];
}

CheckResult CheckEventLogRecords(EventLogContext& log) {
  const HashAlgorithm bank = log.bank().bank == kAlgSha384
                                 ? HashAlgorithm::kSha384
                                 : HashAlgorithm::kSha256;
  log.replay = eventlog::ReplayHostLog(
      log.bundle.records, static_cast<uint8_t>(log.statement.log_pcr), bank);
  const eventlog::HostLogProblem& problem = log.replay.problem;
  if (problem.kind != Kind::kNone) {
    return CheckResult::Fail(CodeOf(problem.kind), Record(problem.record),
                             problem.expected, problem.found);
  }
  if (CheckResult result = CheckBeginning(log); !result.passed()) {
    return result;
  }
  if (CheckResult result = CheckBoot(log); !result.passed()) {
    return result;
  }
  return CheckHead(log);
}

}  // namespace vmattest::verifier
