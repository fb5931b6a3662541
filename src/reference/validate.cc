#include "reference/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/uuid.h"
#include "evidence/envelope.h"
#include "reference/decimal.h"
#include "reference/path_pattern.h"

namespace vmattest::reference {
namespace {

constexpr size_t kMaxName = 63;
constexpr size_t kMaxUuids = 10'000;
constexpr size_t kMaxRoots = 1'000;
constexpr size_t kMaxRules = 20'000;
constexpr size_t kMaxPatterns = 500;
constexpr size_t kMaxPatternLength = 512;
constexpr size_t kMaxPathLength = 4096;
constexpr size_t kMaxRuleValues = 1'000;
constexpr size_t kMaxHosts = 10'000;
constexpr size_t kMaxPcrValues = 100;
constexpr uint32_t kPcrs = 24;
constexpr uint32_t kMaxVerdictSeconds = 30 * 24 * 3600;
constexpr size_t kMaxComment = 4096;

using Kind = LeafRule::Kind;

absl::Status Refused(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, why));
}

template <class List>
absl::Status CheckCount(std::string_view field, const List& list, size_t most) {
  if (list.size() > most) {
    return Refused(field, fmt::format("{} of them, at most {} are allowed",
                                      list.size(), most));
  }
  return absl::OkStatus();
}

template <class List>
bool HasDuplicate(const List& list) {
  std::set<typename List::value_type> seen;
  return !std::all_of(list.begin(), list.end(), [&seen](const auto& one) {
    return seen.insert(one).second;
  });
}

absl::Status CheckOneOf(std::string_view field, std::string_view found,
                        std::initializer_list<std::string_view> allowed) {
  if (std::find(allowed.begin(), allowed.end(), found) == allowed.end()) {
    return Refused(field, fmt::format("'{}' is none of {}", found,
                                      fmt::join(allowed, ", ")));
  }
  return absl::OkStatus();
}

absl::Status CheckName(std::string_view name) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  const bool good = !name.empty() && name.size() <= kMaxName &&
                    word(name.front()) &&
                    std::all_of(name.begin(), name.end(), [&word](char c) {
                      return word(c) || c == '.' || c == '_' || c == '-';
                    });
  return good ? absl::OkStatus()
              : Refused("name", "must be [a-z0-9][a-z0-9._-]{0,62}");
}

absl::Status CheckVms(const std::vector<std::string>& uuids) {
  RETURN_IF_ERROR(CheckCount("vm_uuids", uuids, kMaxUuids));
  if (uuids.empty()) {
    return Refused("vm_uuids", "names no VM");
  }
  if (HasDuplicate(uuids)) {
    return Refused("vm_uuids", "names a VM twice");
  }
  for (const std::string& uuid : uuids) {
    const absl::StatusOr<Uuid> parsed = ParseUuid(uuid);
    if (uuid == "*" ? uuids.size() != 1
                    : !parsed.ok() || vmattest::ToString(*parsed) != uuid) {
      return Refused("vm_uuids",
                     fmt::format("'{}' is no UUID in lower case, and not '*' "
                                 "alone",
                                 uuid));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRuleValues(const LeafRule& rule) {
  const std::string field = fmt::format("rule for '{}'", rule.path);
  RETURN_IF_ERROR(CheckCount(field + " values", rule.values, kMaxRuleValues));
  const size_t count = rule.values.size();
  switch (rule.kind) {
    case Kind::kEqual:
      return count == 1 ? absl::OkStatus() : Refused(field, "needs one value");
    case Kind::kOneOf:
      if (count == 0 || HasDuplicate(rule.values)) {
        return Refused(field, "needs values, each once");
      }
      return absl::OkStatus();
    case Kind::kAtLeast:
    case Kind::kAtMost:
      if (count != 1 || !IsDecimal(rule.values.front())) {
        return Refused(field, "needs one decimal number");
      }
      if (rule.type && *rule.type != LeafType::kInteger &&
          *rule.type != LeafType::kSize) {
        return Refused(field, fmt::format("type {} has no order",
                                          vmattest::ToString(*rule.type)));
      }
      return absl::OkStatus();
    case Kind::kAbsent:
      if (count != 0 || rule.type) {
        return Refused(field, "absent has neither type nor values");
      }
      return absl::OkStatus();
    case Kind::kAny:
      return count == 0 ? absl::OkStatus()
                        : Refused(field, "any has no values");
  }
  return Refused(field, "of an unknown kind");
}

absl::Status CheckRulePath(const std::string& path) {
  if (path.empty() || path.size() > kMaxPathLength || path.front() == '@') {
    return Refused("rules",
                   fmt::format("'{}' is no leaf's path", path.substr(0, 80)));
  }
  if (IsPattern(path) && (path.size() > kMaxPatternLength ||
                          path.find("***") != std::string::npos)) {
    return Refused("rules",
                   fmt::format("pattern '{}' is longer than {} characters or "
                               "has '***'",
                               path.substr(0, 80), kMaxPatternLength));
  }
  return absl::OkStatus();
}

absl::Status CheckRules(const Reference& reference) {
  RETURN_IF_ERROR(CheckCount("rules", reference.rules, kMaxRules));
  std::set<std::string_view> paths;
  size_t patterns = 0;
  for (const LeafRule& rule : reference.rules) {
    RETURN_IF_ERROR(CheckRulePath(rule.path));
    if (!paths.insert(rule.path).second) {
      return Refused("rules", fmt::format("'{}' is there twice", rule.path));
    }
    patterns += IsPattern(rule.path) ? 1 : 0;
    RETURN_IF_ERROR(CheckRuleValues(rule));
    if (rule.kind == Kind::kAbsent && reference.accept_other_leaves) {
      return Refused(
          fmt::format("rule for '{}'", rule.path),
          "absent and accept_other_leaves exclude each other: what is absent "
          "under one name is there under another");
    }
  }
  if (patterns > kMaxPatterns) {
    return Refused("rules", fmt::format("{} patterns, at most {} are allowed",
                                        patterns, kMaxPatterns));
  }
  return absl::OkStatus();
}

absl::Status CheckConfig(const Reference& reference) {
  RETURN_IF_ERROR(CheckOneOf("config.content", reference.content,
                             {"full", "chain", "none"}));
  RETURN_IF_ERROR(CheckOneOf("config.inside", reference.inside,
                             {"none", "inventory", "full"}));
  RETURN_IF_ERROR(CheckCount("config.roots", reference.roots, kMaxRoots));
  for (const DigestBytes& root : reference.roots) {
    if (root.size() != DigestSize(reference.algorithm)) {
      return Refused("config.roots",
                     fmt::format("{} bytes are no {}", root.size(),
                                 vmattest::ToString(reference.algorithm)));
    }
  }
  if (HasDuplicate(reference.roots)) {
    return Refused("config.roots", "one is there twice");
  }
  return CheckRules(reference);
}

absl::Status CheckHost(const Reference& reference) {
  RETURN_IF_ERROR(CheckCount("host.host_ids", reference.host_ids, kMaxHosts));
  for (const std::string& host_id : reference.host_ids) {
    const absl::StatusOr<Bytes> bytes = ParseHex(host_id);
    if (!bytes.ok() || bytes->empty() || ToHex(*bytes) != host_id) {
      return Refused("host.host_ids", fmt::format("'{}' is none", host_id));
    }
  }
  if (HasDuplicate(reference.host_ids)) {
    return Refused("host.host_ids", "one is there twice");
  }
  for (const auto& [index, values] : reference.pcrs) {
    const std::string field = fmt::format("host.pcrs {}", index);
    RETURN_IF_ERROR(CheckCount(field, values, kMaxPcrValues));
    const bool sized =
        std::all_of(values.begin(), values.end(), [](const Bytes& value) {
          return value.size() == DigestSize(HashAlgorithm::kSha256) ||
                 value.size() == DigestSize(HashAlgorithm::kSha384);
        });
    if (index >= kPcrs || values.empty() || !sized || HasDuplicate(values)) {
      return Refused(field,
                     "needs an index below 24 and values of SHA-256 or "
                     "SHA-384, each once");
    }
  }
  for (const std::string& algorithm : reference.required_signatures) {
    RETURN_IF_ERROR(
        CheckOneOf("host.required_signatures", algorithm,
                   {evidence::kTpmQuoteAlgorithm, evidence::kMlDsa65Algorithm,
                    evidence::kMlDsa87Algorithm}));
  }
  if (HasDuplicate(reference.required_signatures)) {
    return Refused("host.required_signatures", "one is there twice");
  }
  return absl::OkStatus();
}

bool DemandsSomething(const Reference& reference) {
  return !reference.roots.empty() || !reference.accept_other_leaves ||
         std::any_of(reference.rules.begin(), reference.rules.end(),
                     [](const LeafRule& rule) {
                       return rule.kind != Kind::kAny || rule.type;
                     }) ||
         !reference.host_ids.empty() || !reference.pcrs.empty();
}

}  // namespace

absl::Status CheckBody(const Reference& reference) {
  RETURN_IF_ERROR(CheckName(reference.name));
  if (reference.revision == 0) {
    return Refused("revision", "counts from 1");
  }
  RETURN_IF_ERROR(CheckVms(reference.vm_uuids));
  RETURN_IF_ERROR(CheckConfig(reference));
  RETURN_IF_ERROR(CheckHost(reference));
  if (reference.verdict_seconds == 0 ||
      reference.verdict_seconds > kMaxVerdictSeconds) {
    return Refused("verdict_seconds",
                   fmt::format("must be 1 to {}", kMaxVerdictSeconds));
  }
  if (reference.comment.size() > kMaxComment) {
    return Refused("comment", fmt::format("longer than {} bytes", kMaxComment));
  }
  // To learn is to demand nothing yet.
  if (reference.mode == GateMode::kLearn) {
    return absl::OkStatus();
  }
  if (!DemandsSomething(reference)) {
    return Refused("config", "nothing is demanded, every VM would pass");
  }
  if (reference.roots.empty() && reference.rules.empty() &&
      !reference.accept_other_leaves) {
    return Refused("config",
                   "no configuration could pass: neither roots nor "
                   "rules, and other leaves are not accepted");
  }
  return absl::OkStatus();
}

absl::Status CheckHeader(const Header& header) {
  if (header.issued_unix_ms <= 0) {
    return Refused("header.issued_unix_ms", "missing");
  }
  if (header.not_before_unix_ms < 0 ||
      header.not_after_unix_ms <= header.not_before_unix_ms) {
    return Refused("header.not_after_unix_ms",
                   "the validity ends before it begins");
  }
  if (header.signature_algorithms.empty() ||
      HasDuplicate(header.signature_algorithms)) {
    return Refused("header.signature_algorithms", "missing, or one twice");
  }
  return absl::OkStatus();
}

}  // namespace vmattest::reference
