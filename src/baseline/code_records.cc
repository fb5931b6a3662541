#include "baseline/code_records.h"

#include <algorithm>

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;

constexpr std::string_view kKernel = "code/kernel";
constexpr std::string_view kRodata = "code/rodata";
constexpr std::string_view kUnavailable = "unavailable";

// Empty: no such record.
std::string_view Find(std::span<const StateRecord> records,
                      std::string_view name) {
  const auto found =
      std::lower_bound(records.begin(), records.end(), name,
                       [](const StateRecord& record, std::string_view wanted) {
                         return std::string_view(record.name) < wanted;
                       });
  return found == records.end() || found->name != name
             ? std::string_view()
             : std::string_view(found->text);
}

// "module/NAME/text" -> "code/module/NAME"; empty: not hashed code.
std::string RecordOf(std::string_view part) {
  const auto begins = [part](std::string_view prefix) {
    return part.substr(0, prefix.size()) == prefix;
  };
  if (begins("kernel/") || begins("symbol/")) {
    return std::string(kKernel);
  }
  if (!begins("module/")) {
    return "";
  }
  return std::string(kCodeRecord) +
         std::string(part.substr(0, part.rfind('/')));
}

}  // namespace

bool IsMeasuredCode(std::string_view text) {
  return text.substr(0, kUnavailable.size()) != kUnavailable;
}

bool CodeRecords::tell() const {
  return !Find(before_, kKernel).empty() && !Find(after_, kKernel).empty();
}

bool CodeRecords::Same(std::string_view part) const {
  const std::string name = RecordOf(part);
  const std::string_view before = Find(before_, name);
  return !before.empty() && IsMeasuredCode(before) &&
         before == Find(after_, name);
}

std::optional<bool> CodeRecords::SameConstants(std::string_view part) const {
  const std::string code = RecordOf(part);
  const std::string name =
      code == kKernel ? std::string(kRodata) : code + "/rodata";
  const std::string_view before = Find(before_, name);
  const std::string_view after = Find(after_, name);
  if (before.empty() || !IsMeasuredCode(before) || after.empty() ||
      !IsMeasuredCode(after)) {
    return std::nullopt;
  }
  return before == after;
}

}  // namespace vmattest::baseline
