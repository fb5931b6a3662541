#include "tpm/esys/pin_file.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "base/file.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace vmattest::tpm {
namespace {

using nlohmann::json;

constexpr uint64_t kVersion = 2;
constexpr uint64_t kFirstVersion = 1;
constexpr size_t kMaxPinSize = 4 << 20;
constexpr KeyPurpose kAllPurposes[] = {
    KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
    KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};

using State = KeyEpoch::State;
constexpr std::pair<State, std::string_view> kStates[] = {
    {State::kActive, "active"},
    {State::kOverlap, "overlap"},
    {State::kRetired, "retired"},
    {State::kRevoked, "revoked"}};

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

absl::StatusOr<State> StateAt(const json& object) {
  const auto found = object.find("state");
  if (found != object.end() && found->is_string()) {
    for (const auto& [state, name] : kStates) {
      if (found->get_ref<const std::string&>() == name) {
        return state;
      }
    }
  }
  return Wrong("state");
}

std::string_view NameOfState(State wanted) {
  for (const auto& [state, name] : kStates) {
    if (state == wanted) {
      return name;
    }
  }
  return "";
}

absl::StatusOr<uint32_t> EpochAt(const json& object) {
  ASSIGN_OR_RETURN(
      const uint64_t epoch,
      NumberAt(object, "epoch", std::numeric_limits<uint32_t>::max()));
  if (epoch == 0) {
    return Wrong("epoch");
  }
  return static_cast<uint32_t>(epoch);
}

absl::StatusOr<KeyEpoch> ParseKey(const json& object, uint64_t version) {
  if (!object.is_object()) {
    return Wrong("keys");
  }
  KeyEpoch key;
  evidence::KeyCertification& certification = key.certification;
  ASSIGN_OR_RETURN(certification.purpose, PurposeAt(object));
  ASSIGN_OR_RETURN(certification.epoch, EpochAt(object));
  ASSIGN_OR_RETURN(certification.public_area, HexAt(object, "public"));
  ASSIGN_OR_RETURN(certification.certify_info, HexAt(object, "certify_info"));
  ASSIGN_OR_RETURN(certification.signature, HexAt(object, "signature"));
  if (version != kFirstVersion) {
    ASSIGN_OR_RETURN(key.state, StateAt(object));
    ASSIGN_OR_RETURN(
        const uint64_t since,
        NumberAt(object, "since_unix_ms", std::numeric_limits<int64_t>::max()));
    key.since_unix_ms = static_cast<int64_t>(since);
  }
  return key;
}

absl::StatusOr<std::vector<KeyEpoch>> ParseKeys(const json& root,
                                                uint64_t version) {
  const auto found = root.find("keys");
  if (found == root.end() || !found->is_array()) {
    return Wrong("keys");
  }
  std::vector<KeyEpoch> keys;
  std::optional<std::pair<KeyPurpose, uint32_t>> last;
  std::set<KeyPurpose> active;
  for (const json& entry : *found) {
    ASSIGN_OR_RETURN(KeyEpoch key, ParseKey(entry, version));
    const std::pair place(key.certification.purpose, key.certification.epoch);
    if ((last && !(*last < place)) ||
        (key.state == State::kActive && !active.insert(place.first).second)) {
      return Wrong("keys");
    }
    last = place;
    keys.push_back(std::move(key));
  }
  return keys;
}

absl::StatusOr<std::vector<evidence::KeyRevocation>> ParseRevocations(
    const json& root) {
  const auto found = root.find("revocations");
  if (found == root.end() || !found->is_array()) {
    return Wrong("revocations");
  }
  std::vector<evidence::KeyRevocation> revocations;
  for (const json& entry : *found) {
    if (!entry.is_object()) {
      return Wrong("revocations");
    }
    evidence::KeyRevocation revocation;
    ASSIGN_OR_RETURN(revocation.purpose, PurposeAt(entry));
    ASSIGN_OR_RETURN(revocation.epoch, EpochAt(entry));
    ASSIGN_OR_RETURN(revocation.key_name, HexAt(entry, "key_name"));
    ASSIGN_OR_RETURN(revocation.certify_info, HexAt(entry, "certify_info"));
    ASSIGN_OR_RETURN(revocation.signature, HexAt(entry, "signature"));
    revocations.push_back(std::move(revocation));
  }
  return revocations;
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
  if (version != kFirstVersion && version != kVersion) {
    return absl::InvalidArgumentError(fmt::format(
        "version {}, known are {} and {}", version, kFirstVersion, kVersion));
  }
  TpmPin pin;
  const auto name = root.find("ek_template");
  if (name == root.end() || !name->is_string()) {
    return Wrong("ek_template");
  }
  pin.ek_template = name->get<std::string>();
  ASSIGN_OR_RETURN(pin.ek_name, HexAt(root, "ek_name"));
  ASSIGN_OR_RETURN(pin.ak_name, HexAt(root, "ak_name"));
  ASSIGN_OR_RETURN(pin.keys, ParseKeys(root, version));
  if (version != kFirstVersion) {
    ASSIGN_OR_RETURN(pin.revocations, ParseRevocations(root));
    if (root.contains("log_index")) {
      ASSIGN_OR_RETURN(pin.log_index, HexAt(root, "log_index"));
    }
  }
  ASSIGN_OR_RETURN(pin.last_clock, ParseClock(root));
  return pin;
}

std::string EncodePin(const TpmPin& pin) {
  json keys = json::array();
  for (const KeyEpoch& key : pin.keys) {
    const evidence::KeyCertification& made = key.certification;
    keys.push_back({{"purpose", std::string(ToString(made.purpose))},
                    {"epoch", made.epoch},
                    {"state", std::string(NameOfState(key.state))},
                    {"since_unix_ms", std::max<int64_t>(key.since_unix_ms, 0)},
                    {"public", ToHex(made.public_area)},
                    {"certify_info", ToHex(made.certify_info)},
                    {"signature", ToHex(made.signature)}});
  }
  json revocations = json::array();
  for (const evidence::KeyRevocation& made : pin.revocations) {
    revocations.push_back({{"purpose", std::string(ToString(made.purpose))},
                           {"epoch", made.epoch},
                           {"key_name", ToHex(made.key_name)},
                           {"certify_info", ToHex(made.certify_info)},
                           {"signature", ToHex(made.signature)}});
  }
  json root = {{"version", kVersion},
               {"ek_template", pin.ek_template},
               {"ek_name", ToHex(pin.ek_name)},
               {"ak_name", ToHex(pin.ak_name)},
               {"keys", std::move(keys)},
               {"revocations", std::move(revocations)},
               {"last_clock",
                {{"clock_ms", pin.last_clock.clock_ms},
                 {"reset_count", pin.last_clock.reset_count},
                 {"restart_count", pin.last_clock.restart_count}}}};
  if (!pin.log_index.empty()) {
    root["log_index"] = ToHex(pin.log_index);
  }
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
