#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/strict_json.h"
#include "crypto/tpm_digest.h"
#include "eventlog/cel.h"
#include "eventlog/cel_json_array.h"
#include "eventlog/host_event.h"

namespace vmattest::eventlog {
namespace {

using nlohmann::json;

constexpr uint8_t kMaxPcr = 31;

constexpr std::array<std::pair<uint8_t, std::string_view>, 5> kContentTypes = {
    {{kCelContentManagement, "cel"},
     {kCelContentPcClient, "pcclient_std"},
     {kCelContentImaTemplate, "ima_template"},
     {kCelContentImaTlv, "ima_tlv"},
     {kCelContentHostEvent, "vmattest_host_event"}}};

std::string ContentTypeName(uint8_t type) {
  for (const auto& [number, name] : kContentTypes) {
    if (number == type) {
      return std::string(name);
    }
  }
  return fmt::format("{}", type);
}

absl::StatusOr<uint8_t> ParseContentType(const json& value) {
  const std::string* text = value.get_ptr<const std::string*>();
  if (text != nullptr) {
    for (int type = 4; type <= UINT8_MAX; ++type) {
      if (ContentTypeName(static_cast<uint8_t>(type)) == *text) {
        return static_cast<uint8_t>(type);
      }
    }
  }
  return absl::InvalidArgumentError("content_type: not known");
}

absl::StatusOr<uint64_t> ParseUnsigned(const json& value, uint64_t most,
                                       std::string_view field) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not a number from 0 to {}", field, most));
  }
  return value.get<uint64_t>();
}

absl::StatusOr<Bytes> ParseHexField(const json& value, std::string_view field) {
  const std::string* text = value.get_ptr<const std::string*>();
  if (text == nullptr) {
    return absl::InvalidArgumentError(fmt::format("{}: not hex", field));
  }
  ASSIGN_OR_RETURN_WITH(Bytes bytes, ParseHex(*text), field);
  return bytes;
}

absl::StatusOr<std::map<uint16_t, Bytes>> ParseDigests(const json& value) {
  std::map<uint16_t, Bytes> digests;
  if (!value.is_array() || value.empty()) {
    return absl::InvalidArgumentError("digests: not an array with a digest");
  }
  for (const json& one : value) {
    if (!one.is_object() || one.size() != 2 || !one.contains("hashAlg") ||
        !one.contains("digest") || !one["hashAlg"].is_string()) {
      return absl::InvalidArgumentError(
          "digests: not an object of hashAlg and digest");
    }
    const auto algorithm =
        ParseTpmDigestName(one["hashAlg"].get<std::string>());
    if (!algorithm) {
      return absl::InvalidArgumentError("digests: hashAlg is not known");
    }
    ASSIGN_OR_RETURN(Bytes digest, ParseHexField(one["digest"], "digests"));
    if (digest.size() != TpmDigestSize(*algorithm)) {
      return absl::InvalidArgumentError(fmt::format(
          "digests: {} bytes of {}", digest.size(), TpmDigestName(*algorithm)));
    }
    if (!digests.emplace(*algorithm, std::move(digest)).second) {
      return absl::InvalidArgumentError("digests: an algorithm twice");
    }
  }
  return digests;
}

absl::StatusOr<Bytes> ParseContent(uint8_t type, const json& value) {
  if (type == kCelContentHostEvent && value.is_object()) {
    return ToBytes(CanonicalJson(value));
  }
  return ParseHexField(value, "content");
}

absl::StatusOr<CelRecord> FromJson(const json& value) {
  if (!value.is_object() || value.size() != 5) {
    return absl::InvalidArgumentError("not an object of five fields");
  }
  for (const char* name :
       {"recnum", "pcr", "digests", "content_type", "content"}) {
    if (!value.contains(name)) {
      return absl::InvalidArgumentError(fmt::format("{}: not there", name));
    }
  }
  CelRecord record;
  ASSIGN_OR_RETURN(record.number,
                   ParseUnsigned(value["recnum"], UINT64_MAX, "recnum"));
  ASSIGN_OR_RETURN(const uint64_t pcr,
                   ParseUnsigned(value["pcr"], kMaxPcr, "pcr"));
  record.pcr = static_cast<uint8_t>(pcr);
  ASSIGN_OR_RETURN(record.digests, ParseDigests(value["digests"]));
  ASSIGN_OR_RETURN(record.content_type,
                   ParseContentType(value["content_type"]));
  ASSIGN_OR_RETURN(record.content,
                   ParseContent(record.content_type, value["content"]));
  if (record.content.size() > kMaxCelContent) {
    return absl::InvalidArgumentError(
        fmt::format("content: {} bytes", record.content.size()));
  }
  return record;
}

}  // namespace

std::string ToCelJson(const CelRecord& record) {
  std::string digests;
  for (const auto& [algorithm, digest] : record.digests) {
    digests += fmt::format(R"({}{{"hashAlg":"{}","digest":"{}"}})",
                           digests.empty() ? "" : ",", TpmDigestName(algorithm),
                           ToHex(digest));
  }
  std::string content;
  if (record.content_type == kCelContentHostEvent &&
      ParseHostEvent(AsText(record.content)).ok()) {
    content = AsText(record.content);
  } else {
    content = fmt::format("\"{}\"", ToHex(record.content));
  }
  return fmt::format(
      R"({{"recnum":{},"pcr":{},"digests":[{}],"content_type":"{}","content":{}}})",
      record.number, record.pcr, digests, ContentTypeName(record.content_type),
      content);
}

absl::StatusOr<CelRecord> ParseCelJson(std::string_view text) {
  if (text.size() > kMaxCelRecord) {
    return absl::InvalidArgumentError(
        fmt::format("a record of {} bytes", text.size()));
  }
  ASSIGN_OR_RETURN(const json value, ParseStrictJson(text));
  return FromJson(value);
}

std::string ToCelJsonLog(const std::vector<CelRecord>& records) {
  std::string text = "[\n";
  for (const CelRecord& record : records) {
    text += text.size() == 2 ? "" : ",\n";
    text += ToCelJson(record);
  }
  return text + "\n]\n";
}

absl::StatusOr<std::vector<CelRecord>> ParseCelJsonLog(std::string_view text) {
  JsonCursor cursor(text);
  ASSIGN_OR_RETURN(std::vector<CelRecord> records, ParseCelJsonArray(cursor));
  if (!cursor.AtEnd()) {
    return absl::InvalidArgumentError(
        fmt::format("something after the array, at byte {}", cursor.offset()));
  }
  return records;
}

absl::StatusOr<std::vector<CelRecord>> ParseCelJsonArray(JsonCursor& cursor) {
  if (!cursor.Consume('[')) {
    return absl::InvalidArgumentError(
        fmt::format("no array of records at byte {}", cursor.offset()));
  }
  std::vector<CelRecord> records;
  if (cursor.Consume(']')) {
    return records;
  }
  do {
    std::string_view object;
    const std::string where =
        fmt::format("record {} at byte {}", records.size(), cursor.offset());
    if (!cursor.ConsumeObject(kMaxCelRecord, &object)) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: no object of at most {} bytes", where, kMaxCelRecord));
    }
    ASSIGN_OR_RETURN_WITH(CelRecord record, ParseCelJson(object), where);
    records.push_back(std::move(record));
  } while (cursor.Consume(','));
  if (!cursor.Consume(']')) {
    return absl::InvalidArgumentError(fmt::format(
        "the array of records does not end at byte {}", cursor.offset()));
  }
  return records;
}

}  // namespace vmattest::eventlog
