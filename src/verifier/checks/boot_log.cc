#include <fmt/format.h>

#include "crypto/digest.h"
#include "verifier/checks/event_log_checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr uint32_t kLastBootPcr = 7;

CheckResult CheckBytes(const EventLogContext& log) {
  const Bytes& bytes = log.bundle.boot_log;
  const evidence::HostLogStatement& statement = log.statement;
  const DigestBytes digest = Hash(HashAlgorithm::kSha256, bytes);
  const bool same = bytes.size() == statement.boot_log_size &&
                    (bytes.empty() || digest == statement.boot_log_digest);
  if (!same) {
    return CheckResult::Fail(
        reason::kBootLogDigest, "boot log",
        fmt::format("{} bytes, sha256:{}", statement.boot_log_size,
                    ToHex(statement.boot_log_digest)),
        fmt::format("{} bytes, sha256:{}", bytes.size(), ToHex(digest)));
  }
  return CheckResult::Pass();
}

CheckResult CheckReplay(const EventLogContext& log) {
  const PcrValues& quoted = log.bank();
  const absl::StatusOr<std::map<uint32_t, Bytes>> replayed =
      eventlog::ReplayBootLog(log.boot_log, quoted.bank);
  if (!replayed.ok()) {
    return CheckResult::Fail(reason::kBootLogBank, "boot log",
                             fmt::format("bank {:#06x}", quoted.bank),
                             std::string(replayed.status().message()));
  }
  for (uint32_t pcr = 0; pcr <= kLastBootPcr; ++pcr) {
    const auto value = quoted.values.find(pcr);
    if (value == quoted.values.end()) {
      return CheckResult::Fail(reason::kPcrRequired, fmt::format("PCR {}", pcr),
                               "quoted: the boot log is about it", "it is not");
    }
    const auto expected = replayed->find(pcr);
    if (expected != replayed->end() && expected->second != value->second) {
      return CheckResult::Fail(
          reason::kBootLogPcr, fmt::format("PCR {}", pcr),
          fmt::format("{} (replayed)", ToHex(expected->second)),
          ToHex(value->second));
    }
    if (!eventlog::HasSeparator(log.boot_log, quoted.bank, pcr)) {
      return CheckResult::Fail(
          reason::kBootLogSeparator, fmt::format("PCR {}", pcr),
          "a separator among the digests extended", "none");
    }
  }
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckBootLog(EventLogContext& log) {
  if (CheckResult result = CheckBytes(log); !result.passed()) {
    return result;
  }
  if (log.bundle.boot_log.empty()) {
    return CheckResult::Pass();
  }
  absl::StatusOr<eventlog::BootLog> parsed =
      eventlog::ParseBootLog(log.bundle.boot_log);
  if (!parsed.ok()) {
    return CheckResult::Fail(reason::kBootLogMalformed, "boot log",
                             "TCG PC Client event log",
                             std::string(parsed.status().message()));
  }
  log.boot_log = *std::move(parsed);
  return CheckReplay(log);
}

}  // namespace vmattest::verifier
