#include "eventlog/bundle.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "eventlog/cel_json_array.h"

namespace vmattest::eventlog {
namespace {

absl::Status Malformed(const JsonCursor& cursor, std::string_view wanted) {
  return absl::InvalidArgumentError(fmt::format(
      "event log bundle: no {} at byte {}", wanted, cursor.offset()));
}

absl::StatusOr<Bytes> ReadBase64(JsonCursor& cursor, std::string_view name) {
  std::string_view text;
  if (!cursor.ConsumeName(name) || !cursor.ConsumeString(&text) ||
      !cursor.Consume(',')) {
    return Malformed(cursor, name);
  }
  ASSIGN_OR_RETURN_WITH(Bytes bytes, ParseBase64(text), name);
  return bytes;
}

}  // namespace

std::string EncodeBundle(const Bundle& bundle) {
  std::string text = fmt::format(
      "{{\"format\":\"{}\",\n\"evidence\":\"{}\",\n\"boot_log\":\"{}\",\n"
      "\"records\":[\n",
      kBundleFormat, ToBase64(bundle.evidence), ToBase64(bundle.boot_log));
  const char* separator = "";
  for (const CelRecord& record : bundle.records) {
    text += separator;
    text += ToCelJson(record);
    separator = ",\n";
  }
  return text + "\n]}\n";
}

absl::StatusOr<Bundle> ParseBundle(std::string_view json) {
  if (json.size() > kMaxBundleSize) {
    return absl::InvalidArgumentError(
        fmt::format("event log bundle: {} bytes", json.size()));
  }
  JsonCursor cursor(json);
  std::string_view format;
  if (!cursor.Consume('{') || !cursor.ConsumeName("format") ||
      !cursor.ConsumeString(&format) || format != kBundleFormat ||
      !cursor.Consume(',')) {
    return Malformed(cursor, fmt::format("format {}", kBundleFormat));
  }
  Bundle bundle;
  ASSIGN_OR_RETURN(bundle.evidence, ReadBase64(cursor, "evidence"));
  ASSIGN_OR_RETURN(bundle.boot_log, ReadBase64(cursor, "boot_log"));
  if (!cursor.ConsumeName("records")) {
    return Malformed(cursor, "records");
  }
  ASSIGN_OR_RETURN(bundle.records, ParseCelJsonArray(cursor));
  if (!cursor.Consume('}') || !cursor.AtEnd()) {
    return Malformed(cursor, "end");
  }
  return bundle;
}

}  // namespace vmattest::eventlog
