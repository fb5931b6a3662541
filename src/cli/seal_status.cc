#include "cli/seal_status.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

namespace vmattest::cli {
namespace {

using nlohmann::json;

constexpr size_t kMaxSize = 64u << 10;
constexpr uint32_t kPcrCount = 24;

absl::Status Wrong(std::string_view element) {
  return absl::InvalidArgumentError(
      fmt::format("seal status: \"{}\" is missing or wrong", element));
}

absl::StatusOr<std::string> TextAt(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return Wrong(key);
  }
  return found->get<std::string>();
}

absl::StatusOr<Bytes> HexAt(const json& object, const char* key) {
  ASSIGN_OR_RETURN(const std::string text, TextAt(object, key));
  absl::StatusOr<Bytes> bytes = ParseHex(text);
  if (!bytes.ok()) {
    return Wrong(key);
  }
  return bytes;
}

absl::StatusOr<uint64_t> NumberAt(const json& object, const char* key,
                                  uint64_t most) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned() ||
      found->get<uint64_t>() > most) {
    return Wrong(key);
  }
  return found->get<uint64_t>();
}

absl::StatusOr<std::map<uint32_t, Bytes>> ValuesAt(const json& object) {
  const auto found = object.find("pcrs");
  if (found == object.end() || !found->is_object()) {
    return Wrong("pcrs");
  }
  std::map<uint32_t, Bytes> values;
  for (const auto& [name, value] : found->items()) {
    uint32_t index = 0;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data(), end, index);
    if (parsed.ec != std::errc() || parsed.ptr != end || index >= kPcrCount ||
        std::to_string(index) != name) {
      return Wrong("pcrs");
    }
    ASSIGN_OR_RETURN(values[index], HexAt(*found, name.c_str()));
  }
  return values;
}

}  // namespace

std::string SealStatusToJson(const SealStatus& status) {
  json pcrs = json::object();
  for (const auto& [index, value] : status.pcrs.values) {
    pcrs[std::to_string(index)] = ToHex(value);
  }
  const json object = {{"state", status.state},
                       {"detail", status.detail},
                       {"host_id", status.host_id},
                       {"seal_authority", ToHex(status.authority)},
                       {"counter", status.counter},
                       {"counter_name", ToHex(status.counter_name)},
                       {"approvals", status.approvals},
                       {"bank", status.pcrs.bank},
                       {"pcrs", std::move(pcrs)}};
  return object.dump(2, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<SealStatus> SealStatusFromJson(std::string_view text) {
  if (text.size() > kMaxSize) {
    return absl::InvalidArgumentError(
        fmt::format("seal status: {} bytes", text.size()));
  }
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return absl::InvalidArgumentError("seal status: not a JSON object");
  }
  SealStatus status;
  ASSIGN_OR_RETURN(status.state, TextAt(object, "state"));
  ASSIGN_OR_RETURN(status.detail, TextAt(object, "detail"));
  ASSIGN_OR_RETURN(status.host_id, TextAt(object, "host_id"));
  ASSIGN_OR_RETURN(status.authority, HexAt(object, "seal_authority"));
  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  ASSIGN_OR_RETURN(status.counter, NumberAt(object, "counter", kAny));
  ASSIGN_OR_RETURN(status.counter_name, HexAt(object, "counter_name"));
  ASSIGN_OR_RETURN(status.approvals, NumberAt(object, "approvals", kAny));
  ASSIGN_OR_RETURN(
      const uint64_t bank,
      NumberAt(object, "bank", std::numeric_limits<uint16_t>::max()));
  status.pcrs.bank = static_cast<uint16_t>(bank);
  ASSIGN_OR_RETURN(status.pcrs.values, ValuesAt(object));
  return status;
}

}  // namespace vmattest::cli
