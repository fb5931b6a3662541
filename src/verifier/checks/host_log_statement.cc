#include <fmt/format.h>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr uint32_t kFirstLogPcr = 8;
constexpr uint32_t kLastLogPcr = 15;  // those after it can be reset
constexpr uint32_t kImaPcr = 10;
constexpr size_t kDigestSize = 32;

CheckResult Wrong(std::string_view field, std::string expected,
                  std::string found) {
  return CheckResult::Fail(reason::kStatementField,
                           fmt::format("statement.{}", field),
                           std::move(expected), std::move(found));
}

}  // namespace

CheckResult CheckHostLogStatement(const Context& context) {
  const evidence::HostLogStatement& statement = *context.host_log;
  const evidence::StatementHeader& header = statement.header;
  if (!header.vm_uuid.empty() || !header.vm_name.empty()) {
    return Wrong("header.vm_uuid", "none: it is about the host",
                 header.vm_uuid + header.vm_name);
  }
  if (!header.host || header.host->log_head.size() != kDigestSize) {
    return Wrong("header.host", "size and head of the event log",
                 header.host ? ToHex(header.host->log_head) : "none");
  }
  if (statement.log_pcr < kFirstLogPcr || statement.log_pcr > kLastLogPcr ||
      statement.log_pcr == kImaPcr) {
    return Wrong(
        "log_pcr",
        fmt::format("{} to {} but {}", kFirstLogPcr, kLastLogPcr, kImaPcr),
        std::to_string(statement.log_pcr));
  }
  if (statement.boot_record == 0 ||
      statement.boot_record > header.host->log_size) {
    return Wrong("boot_record", fmt::format("1 to {}", header.host->log_size),
                 std::to_string(statement.boot_record));
  }
  const size_t digest_size = statement.boot_log_size == 0 ? 0 : kDigestSize;
  if (statement.boot_log_digest.size() != digest_size) {
    return Wrong("boot_log_digest", fmt::format("{} bytes", digest_size),
                 fmt::format("{} bytes", statement.boot_log_digest.size()));
  }
  if (!context.evidence.leaves.empty() || !context.evidence.subtrees.empty() ||
      !context.evidence.vm_salt.empty() || context.disclosed) {
    return CheckResult::Fail(reason::kStatementField, "leaves",
                             "none: it is about the host", "some");
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
