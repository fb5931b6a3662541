#include "eventlog/host_event.h"

#include <fmt/format.h>

#include "base/strict_json.h"

namespace vmattest::eventlog {
namespace {

using nlohmann::json;

constexpr size_t kMaxKind = 64;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("host event: {}", what));
}

// Lower-case words joined by single dashes.
bool IsKind(std::string_view kind) {
  if (kind.empty() || kind.size() > kMaxKind) {
    return false;
  }
  bool dash_allowed = false;
  for (const char c : kind) {
    if (c == '-' ? !dash_allowed
                 : !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
      return false;
    }
    dash_allowed = c != '-';
  }
  return dash_allowed;
}

bool IsInteger(const json& value) {
  return value.is_number_integer() &&
         (!value.is_number_unsigned() ||
          value.get<uint64_t>() <= uint64_t{INT64_MAX});
}

}  // namespace

std::string EncodeHostEvent(const HostEvent& event) {
  return CanonicalJson(json{{"facts", event.facts},
                            {"kind", event.kind},
                            {"time_unix_ms", event.time_unix_ms}});
}

absl::StatusOr<HostEvent> ParseHostEvent(std::string_view text) {
  if (text.size() > kMaxHostEventSize) {
    return Malformed(fmt::format("{} bytes", text.size()));
  }
  // Names that are there twice do not survive the comparison below.
  const json value = json::parse(text.begin(), text.end(), nullptr, false);
  if (!value.is_object() || value.size() != 3 || !value.contains("facts") ||
      !value.contains("kind") || !value.contains("time_unix_ms")) {
    return Malformed("not an object of facts, kind and time_unix_ms");
  }
  HostEvent event;
  const json& facts = value["facts"];
  if (!facts.is_object()) {
    return Malformed("facts is not an object");
  }
  for (const auto& [name, fact] : facts.items()) {
    if (!fact.is_string()) {
      return Malformed(fmt::format("fact {} is not a string", name));
    }
    event.facts.emplace(name, fact.get<std::string>());
  }
  if (!value["kind"].is_string()) {
    return Malformed("kind is not a string");
  }
  event.kind = value["kind"].get<std::string>();
  if (!IsKind(event.kind)) {
    return Malformed("kind is not words of a-z, 0-9 joined by dashes");
  }
  if (!IsInteger(value["time_unix_ms"])) {
    return Malformed("time_unix_ms is not an integer of 64 bits");
  }
  event.time_unix_ms = value["time_unix_ms"].get<int64_t>();
  if (EncodeHostEvent(event) != text) {
    return Malformed("not in canonical form");
  }
  return event;
}

}  // namespace vmattest::eventlog
