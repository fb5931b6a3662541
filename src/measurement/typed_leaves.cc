#include "measurement/typed_leaves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/uuid.h"

namespace vmattest::measurement {
namespace {

constexpr TypedRule kGeneral[] = {
    {"", "type", ValueKind::kText, "domain/type"},
    {"name", "", ValueKind::kText},
    {"uuid", "", ValueKind::kUuid},
    {"genid", "", ValueKind::kUuid},
    {"title", "", ValueKind::kText},
    {"description", "", ValueKind::kText},
    {"on_poweroff", "", ValueKind::kText},
    {"on_reboot", "", ValueKind::kText},
    {"on_crash", "", ValueKind::kText},
    {"clock", "offset", ValueKind::kText},
    {"clock/timer", "present", ValueKind::kYesNo},
};

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) {
    return "";
  }
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::optional<uint64_t> ParseUnsigned(std::string_view text) {
  text = Trim(text);
  uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

std::optional<TypedValue> ParseInteger(std::string_view text) {
  text = Trim(text);
  const bool negative = !text.empty() && text.front() == '-';
  const std::optional<uint64_t> number =
      ParseUnsigned(negative ? text.substr(1) : text);
  if (!number) {
    return std::nullopt;
  }
  return TypedValue{
      LeafType::kInteger,
      fmt::format("{}{}", negative && *number != 0 ? "-" : "", *number)};
}

// libvirt's virScaleInteger: "b", "bytes"; "k", "KiB" are 1024, "KB" is 1000.
std::optional<uint64_t> UnitFactor(std::string_view unit) {
  std::string folded(unit);
  std::transform(folded.begin(), folded.end(), folded.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (folded == "b" || folded == "byte" || folded == "bytes") {
    return 1;
  }
  const size_t power = std::string_view("kmgtpe").find(folded.substr(0, 1));
  if (folded.empty() || power == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view suffix = std::string_view(folded).substr(1);
  if (!suffix.empty() && suffix != "ib" && suffix != "b") {
    return std::nullopt;
  }
  const uint64_t base = suffix == "b" ? 1000 : 1024;
  uint64_t factor = 1;
  for (size_t i = 0; i <= power; ++i) {
    factor *= base;
  }
  return factor;
}

std::optional<TypedValue> ParseSize(std::string_view text,
                                    std::string_view unit) {
  const std::optional<uint64_t> number = ParseUnsigned(text);
  const std::optional<uint64_t> factor = UnitFactor(unit);
  uint64_t bytes = 0;
  if (!number || !factor || __builtin_mul_overflow(*number, *factor, &bytes)) {
    return std::nullopt;
  }
  return TypedValue{LeafType::kSize, fmt::format("{}", bytes)};
}

std::optional<TypedValue> ParseChoice(std::string_view text,
                                      std::string_view yes,
                                      std::string_view no) {
  if (text != yes && text != no) {
    return std::nullopt;
  }
  return TypedValue{LeafType::kBoolean, text == yes ? "true" : "false"};
}

std::optional<TypedValue> ParseMac(std::string_view text) {
  std::string canonical;
  for (int octet = 0; octet < 6; ++octet) {
    const size_t colon = octet == 5 ? text.size() : text.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon > 2) {
      return std::nullopt;
    }
    unsigned value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + colon, value, 16);
    if (error != std::errc() || end != text.data() + colon) {
      return std::nullopt;
    }
    canonical += fmt::format("{}{:02x}", octet == 0 ? "" : ":", value);
    text.remove_prefix(octet == 5 ? colon : colon + 1);
  }
  return TypedValue{LeafType::kText, std::move(canonical)};
}

}  // namespace

std::span<const TypedRule> GeneralRules() { return kGeneral; }

const std::vector<TypedRule>& TypedRules() {
  static const std::vector<TypedRule> all = [] {
    std::vector<TypedRule> rules;
    for (const std::span<const TypedRule> part :
         {GeneralRules(), MemoryRules(), CpuRules(), BootRules(), DiskRules(),
          NetworkRules(), DeviceRules()}) {
      rules.insert(rules.end(), part.begin(), part.end());
    }
    return rules;
  }();
  return all;
}

std::optional<TypedValue> ParseTyped(ValueKind kind, std::string_view text,
                                     std::string_view unit) {
  switch (kind) {
    case ValueKind::kText:
      return TypedValue{LeafType::kText, std::string(text)};
    case ValueKind::kInteger:
      return ParseInteger(text);
    case ValueKind::kSize:
      return ParseSize(text, unit);
    case ValueKind::kYesNo:
      return ParseChoice(text, "yes", "no");
    case ValueKind::kOnOff:
      return ParseChoice(text, "on", "off");
    case ValueKind::kMac:
      return ParseMac(text);
    case ValueKind::kUuid: {
      const auto uuid = ParseUuid(Trim(text));
      return uuid.ok() ? std::optional<TypedValue>(
                             TypedValue{LeafType::kText, ToString(*uuid)})
                       : std::nullopt;
    }
  }
  return std::nullopt;
}

std::string_view ToString(ValueKind kind) {
  switch (kind) {
    case ValueKind::kText:
      return "text";
    case ValueKind::kInteger:
      return "integer";
    case ValueKind::kSize:
      return "size";
    case ValueKind::kYesNo:
      return "yes/no";
    case ValueKind::kOnOff:
      return "on/off";
    case ValueKind::kMac:
      return "MAC address";
    case ValueKind::kUuid:
      return "UUID";
  }
  return "unknown";
}

}  // namespace vmattest::measurement
