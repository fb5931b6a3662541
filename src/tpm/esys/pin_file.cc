#include "tpm/esys/pin_file.h"

#include <limits>
#include <tuple>

#include "base/file.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace vmattest::tpm {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxPinSize = 64 * 1024;
constexpr KeyPurpose kAllPurposes[] = {
    KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
    KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};

absl::Status Wrong(std::string_view element) {
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is missing or wrong", element));
}

absl::StatusOr<Bytes> HexAt(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return Wrong(key);
  }
  absl::StatusOr<Bytes> bytes = ParseHex(found->get_ref<const std::string&>());
  if (!bytes.ok() || bytes->empty()) {
    return Wrong(key);
  }
  return bytes;
}

absl::StatusOr<uint64_t> NumberAt(const json& object, const char* key,
                                  uint64_t max) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned() ||
      found->get<uint64_t>() > max) {
    return Wrong(key);
  }
  return found->get<uint64_t>();
}

absl::StatusOr<KeyPurpose> PurposeAt(const json& object) {
  const auto found = object.find("purpose");
  if (found != object.end() && found->is_string()) {
    for (const KeyPurpose purpose : kAllPurposes) {
      if (found->get_ref<const std::string&>() == ToString(purpose)) {
        return purpose;
      }
    }
  }
  return Wrong("purpose");
}

absl::StatusOr<evidence::KeyCertification> ParseKey(const json& object) {
  if (!object.is_object()) {
    return Wrong("keys");
  }
  evidence::KeyCertification key;
  ASSIGN_OR_RETURN(key.purpose, PurposeAt(object));
  ASSIGN_OR_RETURN(
      const uint64_t epoch,
      NumberAt(object, "epoch", std::numeric_limits<uint32_t>::max()));
  key.epoch = static_cast<uint32_t>(epoch);
  ASSIGN_OR_RETURN(key.public_area, HexAt(object, "public"));
  ASSIGN_OR_RETURN(key.certify_info, HexAt(object, "certify_info"));
  ASSIGN_OR_RETURN(key.signature, HexAt(object, "signature"));
  return key;
}

absl::StatusOr<TpmClock> ParseClock(const json& root) {
  constexpr uint64_t kMax32 = std::numeric_limits<uint32_t>::max();
  const auto found = root.find("last_clock");
  if (found == root.end() || !found->is_object()) {
    return Wrong("last_clock");
  }
  TpmClock clock;
  ASSIGN_OR_RETURN(
      clock.clock_ms,
      NumberAt(*found, "clock_ms", std::numeric_limits<uint64_t>::max()));
  ASSIGN_OR_RETURN(const uint64_t resets,
                   NumberAt(*found, "reset_count", kMax32));
  ASSIGN_OR_RETURN(const uint64_t restarts,
                   NumberAt(*found, "restart_count", kMax32));
  clock.reset_count = static_cast<uint32_t>(resets);
  clock.restart_count = static_cast<uint32_t>(restarts);
  return clock;
}

}  // namespace

bool ClockFollows(const TpmClock& earlier, const TpmClock& later) {
  return std::tie(later.reset_count, later.restart_count, later.clock_ms) >=
         std::tie(earlier.reset_count, earlier.restart_count, earlier.clock_ms);
}

absl::StatusOr<TpmPin> ParsePin(ByteView text) {
  const json root = json::parse(text.begin(), text.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return absl::InvalidArgumentError("not a JSON object");
  }
  ASSIGN_OR_RETURN(const uint64_t version, NumberAt(root, "version", 1000));
  if (version != kVersion) {
    return absl::InvalidArgumentError(
        fmt::format("version {}, known is {}", version, kVersion));
  }
  TpmPin pin;
  const auto name = root.find("ek_template");
  if (name == root.end() || !name->is_string()) {
    return Wrong("ek_template");
  }
  pin.ek_template = name->get<std::string>();
  ASSIGN_OR_RETURN(pin.ek_name, HexAt(root, "ek_name"));
  ASSIGN_OR_RETURN(pin.ak_name, HexAt(root, "ak_name"));
  const auto keys = root.find("keys");
  if (keys == root.end() || !keys->is_array()) {
    return Wrong("keys");
  }
  for (const json& entry : *keys) {
    ASSIGN_OR_RETURN(evidence::KeyCertification key, ParseKey(entry));
    pin.keys.push_back(std::move(key));
  }
  ASSIGN_OR_RETURN(pin.last_clock, ParseClock(root));
  return pin;
}

std::string EncodePin(const TpmPin& pin) {
  json keys = json::array();
  for (const evidence::KeyCertification& key : pin.keys) {
    keys.push_back({{"purpose", std::string(ToString(key.purpose))},
                    {"epoch", key.epoch},
                    {"public", ToHex(key.public_area)},
                    {"certify_info", ToHex(key.certify_info)},
                    {"signature", ToHex(key.signature)}});
  }
  const json root = {{"version", kVersion},
                     {"ek_template", pin.ek_template},
                     {"ek_name", ToHex(pin.ek_name)},
                     {"ak_name", ToHex(pin.ak_name)},
                     {"keys", std::move(keys)},
                     {"last_clock",
                      {{"clock_ms", pin.last_clock.clock_ms},
                       {"reset_count", pin.last_clock.reset_count},
                       {"restart_count", pin.last_clock.restart_count}}}};
  return root.dump(2) + "\n";
}

absl::StatusOr<std::optional<TpmPin>> LoadPin(
    const std::filesystem::path& path) {
  const absl::StatusOr<Bytes> text = ReadFile(path, kMaxPinSize);
  if (text.status().code() == absl::StatusCode::kNotFound) {
    return std::optional<TpmPin>();
  }
  RETURN_IF_ERROR_WITH(text.status(), "reading what is known of the TPM");
  absl::StatusOr<TpmPin> pin = ParsePin(*text);
  if (!pin.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("{}: {}: restore it, or remove it and enrol the host again",
                    path.string(),
                    std::string_view(pin.status().message().data(),
                                     pin.status().message().size())));
  }
  return std::optional<TpmPin>(*std::move(pin));
}

absl::Status StorePin(const std::filesystem::path& path, const TpmPin& pin) {
  return Annotate(WriteFileAtomic(path, AsBytes(EncodePin(pin)), 0600),
                  "storing what is known of the TPM");
}

}  // namespace vmattest::tpm
