#include "vmattest/verifier/event_log.h"

#include <fmt/format.h>

#include "verifier/appraise.h"
#include "verifier/checks/checks.h"
#include "verifier/checks/event_log_checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

using Check = CheckResult (*)(EventLogContext&);
constexpr Check kChecks[] = {
    CheckEventLogRecords,
    [](EventLogContext& log) { return CheckEventLogAnchor(log); },
    CheckEventLogPcr,
    CheckBootLog,
};

CheckResult RunLogChecks(EventLogContext& log) {
  for (const Check check : kChecks) {
    if (CheckResult result = check(log); !result.passed()) {
      return result;
    }
  }
  return CheckPolicy(log.context);
}

std::vector<EventLogFact> FactsOf(const EventLogContext& log) {
  std::vector<EventLogFact> facts;
  for (const eventlog::HostLogFact& fact : log.replay.facts) {
    if (fact.kind == eventlog::HostLogFact::Kind::kUncleanBoot) {
      facts.push_back({"unclean-boot", fact.record,
                       "the boot before was not closed by a record"});
    } else {
      facts.push_back(
          {"records-lost", fact.record,
           fact.last_lost == 0
               ? fact.detail
               : fmt::format("records {} to {} are not there{}{}",
                             fact.first_lost, fact.last_lost,
                             fact.detail.empty() ? "" : ": ", fact.detail)});
    }
  }
  if (log.bundle.boot_log.empty()) {
    facts.push_back({"no-boot-log", 0, "the firmware gave no event log"});
  }
  return facts;
}

void Describe(const EventLogContext& log, EventLogAppraisal& appraisal) {
  if (log.replay.problem.kind != eventlog::HostLogProblem::Kind::kNone ||
      log.replay.boots.empty()) {
    return;
  }
  const std::vector<eventlog::CelRecord>& records = log.bundle.records;
  appraisal.first_record = records.front().number;
  appraisal.last_record =
      log.covered == 0 ? 0 : records[log.covered - 1].number;
  appraisal.boot_record = records[log.replay.boots.back()].number;
  appraisal.boot_count = log.replay.boot.boot_count;
  appraisal.boot_log_events = log.boot_log.events.size();
  appraisal.facts = FactsOf(log);
}

CheckResult NotAboutALog(const Context& context) {
  return CheckResult::Fail(reason::kPayloadTypeUnexpected,
                           "envelope.payload_type",
                           std::string(evidence::kHostLogPayloadType),
                           context.evidence.envelope.payload_type);
}

}  // namespace

absl::StatusOr<EventLogAppraisal> VerifyEventLog(
    std::string_view bundle, const Anchors& anchors,
    const EventLogPolicy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  if (anchors.host_ids().empty()) {
    return absl::FailedPreconditionError("no anchors: no host is believed");
  }
  EventLogAppraisal appraisal;
  const absl::StatusOr<eventlog::Bundle> files = eventlog::ParseBundle(bundle);
  if (!files.ok()) {
    appraisal.verdict = ToVerdict(
        CheckResult::Fail(reason::kEventLogMalformed, "event log file",
                          std::string(eventlog::kBundleFormat),
                          std::string(files.status().message())));
    return appraisal;
  }
  Context context(anchors, policy.evidence, now);
  CheckResult result = RunChecks(files->evidence, context);
  appraisal.genuine = result.passed();
  if (appraisal.genuine && !context.host_log) {
    result = NotAboutALog(context);
  } else if (appraisal.genuine) {
    EventLogContext log(context, *files, policy.from_record);
    result = RunLogChecks(log);
    Describe(log, appraisal);
  }
  appraisal.verdict = ToVerdict(result);
  appraisal.claims = MakeClaims(context, appraisal.genuine);
  return appraisal;
}

}  // namespace vmattest::verifier
