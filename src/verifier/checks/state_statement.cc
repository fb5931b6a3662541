#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/uuid.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr std::string_view kConsistencies[] = {"live", "paused",
                                               "point-in-time"};
constexpr std::string_view kCauses[] = {"request", "schedule", "guest"};
constexpr std::string_view kReaders[] = {"shared-memory", "process-memory",
                                         "peek", "saved-state"};
constexpr std::string_view kSeverities[] = {"info", "low", "medium", "high",
                                            "critical"};
constexpr uint32_t kPageSizes[] = {4096, 65536, 2097152};

CheckResult Wrong(std::string_view field, std::string expected,
                  std::string found) {
  return CheckResult::Fail(reason::kStatementField,
                           fmt::format("statement.{}", field),
                           std::move(expected), std::move(found));
}

template <size_t kSize>
CheckResult CheckOneOf(std::string_view field, const std::string& found,
                       const std::string_view (&allowed)[kSize]) {
  return std::find(std::begin(allowed), std::end(allowed), found) !=
                 std::end(allowed)
             ? CheckResult::Pass()
             : Wrong(field, fmt::format("{}", fmt::join(allowed, ", ")), found);
}

CheckResult CheckFields(const evidence::StateStatement& statement) {
  const std::string& uuid = statement.header.vm_uuid;
  const auto parsed = ParseUuid(uuid);
  if (!parsed.ok() || ToString(*parsed) != uuid) {
    return Wrong("header.vm_uuid", "a UUID in lower case", uuid);
  }
  if (std::find(std::begin(kPageSizes), std::end(kPageSizes),
                statement.page_bytes) == std::end(kPageSizes)) {
    return Wrong("page_bytes", "4096, 65536 or 2097152",
                 std::to_string(statement.page_bytes));
  }
  if (statement.policy_id.empty() || statement.policy_version == 0 ||
      statement.policy_digest.size() != DigestSize(HashAlgorithm::kSha256)) {
    return Wrong(
        "policy_id", "id, version and digest of a policy",
        fmt::format("{}@{}", statement.policy_id, statement.policy_version));
  }
  for (const CheckResult& result :
       {CheckOneOf("cause", statement.cause, kCauses),
        CheckOneOf("consistency", statement.consistency, kConsistencies),
        CheckOneOf("consistency_requested", statement.consistency_requested,
                   kConsistencies),
        CheckOneOf("reader", statement.reader, kReaders)}) {
    if (!result.passed()) {
      return result;
    }
  }
  return CheckResult::Pass();
}

CheckResult CheckRegion(const evidence::StateStatement& statement,
                        const evidence::RegionState& region) {
  const size_t size = DigestSize(statement.algorithm);
  const std::string field = fmt::format("regions '{}'", region.name);
  if (CheckResult result = CheckOneOf(field, region.severity, kSeverities);
      !result.passed()) {
    return result;
  }
  if (region.unavailable.empty()
          ? region.root.size() != size || region.selection.size() != size
          : !region.root.empty() || region.pages != 0) {
    return Wrong(
        field, "a root of its algorithm, or the reason for none",
        fmt::format("{} bytes, '{}'", region.root.size(), region.unavailable));
  }
  if (region.unreadable_pages > region.pages ||
      region.torn_pages > region.pages) {
    return Wrong(field, fmt::format("at most {} pages", region.pages),
                 fmt::format("{} unreadable, {} torn", region.unreadable_pages,
                             region.torn_pages));
  }
  return CheckResult::Pass();
}

CheckResult CheckMeaning(const evidence::StateStatement& statement) {
  for (const evidence::StateFinding& finding : statement.findings) {
    if (CheckResult result =
            CheckOneOf(fmt::format("findings '{}'", finding.code),
                       finding.severity, kSeverities);
        !result.passed()) {
      return result;
    }
  }
  const size_t size =
      statement.record_count == 0 ? 0 : DigestSize(statement.algorithm);
  if (statement.records_root.size() != size) {
    return Wrong("records_root", fmt::format("{} bytes", size),
                 fmt::format("{} bytes", statement.records_root.size()));
  }
  if (!statement.code_hash.empty() &&
      statement.code_hash.size() != DigestSize(HashAlgorithm::kSha256)) {
    return Wrong("code_hash", "SHA-256, or none",
                 fmt::format("{} bytes", statement.code_hash.size()));
  }
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckStateStatement(const Context& context) {
  const evidence::StateStatement& statement = *context.state;
  if (CheckResult result = CheckFields(statement); !result.passed()) {
    return result;
  }
  if (CheckResult result = CheckMeaning(statement); !result.passed()) {
    return result;
  }
  std::set<std::string_view> names;
  for (const evidence::RegionState& region : statement.regions) {
    if (CheckResult result = CheckRegion(statement, region); !result.passed()) {
      return result;
    }
    if (!names.insert(region.name).second) {
      return Wrong("regions", "each name once", region.name);
    }
  }
  const DigestBytes root =
      evidence::StateRoot(statement.algorithm, statement.regions);
  if (root != statement.root) {
    return CheckResult::Fail(reason::kStateRoot, "statement.root",
                             ToHex(statement.root), ToHex(root));
  }
  if (!context.evidence.leaves.empty() || !context.evidence.subtrees.empty() ||
      !context.evidence.vm_salt.empty() || context.disclosed) {
    return CheckResult::Fail(reason::kStatementField, "leaves",
                             "none: it is about memory", "some");
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
