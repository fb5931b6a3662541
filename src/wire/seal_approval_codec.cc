#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>

#include "evidence/tpm_structures.h"
#include "vmattest/v1/seal.pb.h"
#include "wire/messages.h"
#include "wire/seal_approval.h"

namespace vmattest::wire {
namespace {

constexpr std::string_view kFormat = "vmattest/seal-approval/v1";
constexpr std::string_view kWhat = "SealApprovalFile";
constexpr KeyPurpose kPurposes[] = {
    KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
    KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};
constexpr int kMaxPcrs = 24;
constexpr size_t kMaxHostId = 128;

struct Bank {
  uint16_t algorithm;  // TPM_ALG_ID
  std::string_view name;
};
constexpr Bank kBanks[] = {{0x000B, "sha256"}, {0x000C, "sha384"}};

absl::StatusOr<Bytes> HexField(std::string_view element,
                               const std::string& text) {
  absl::StatusOr<Bytes> bytes = ParseHex(text);
  if (!bytes.ok() || bytes->empty()) {
    return Malformed(element, "not hexadecimal");
  }
  return bytes;
}

absl::StatusOr<KeyPurpose> PurposeNamed(std::string_view name) {
  for (const KeyPurpose purpose : kPurposes) {
    if (name == ToString(purpose)) {
      return purpose;
    }
  }
  return Malformed("approvals.purpose", fmt::format("'{}' is unknown", name));
}

// A host id is hex of a digest.
absl::Status CheckHostId(const std::string& host_id) {
  const absl::StatusOr<Bytes> name = ParseHex(host_id);
  if (host_id.empty() || host_id.size() > kMaxHostId || !name.ok() ||
      ToHex(*name) != host_id) {
    return Malformed("host_id", "not a host id");
  }
  return absl::OkStatus();
}

absl::StatusOr<PcrValues> PcrsFrom(const v1::SealApprovalFile& file) {
  PcrValues pcrs;
  const auto bank = std::find_if(
      std::begin(kBanks), std::end(kBanks),
      [&](const Bank& known) { return known.name == file.bank(); });
  if (bank == std::end(kBanks)) {
    return Malformed("bank", fmt::format("'{}' is unknown", file.bank()));
  }
  pcrs.bank = bank->algorithm;
  if (file.pcrs_size() > kMaxPcrs) {
    return Malformed("pcrs", fmt::format("{} of them", file.pcrs_size()));
  }
  for (const v1::ApprovedPcr& pcr : file.pcrs()) {
    ASSIGN_OR_RETURN(Bytes value, HexField("pcrs.value", pcr.value()));
    if (!pcrs.values.emplace(pcr.index(), std::move(value)).second) {
      return Malformed("pcrs", fmt::format("PCR {} twice", pcr.index()));
    }
  }
  return pcrs;
}

absl::StatusOr<std::vector<evidence::SealApproval>> FromMessage(
    const v1::SealApprovalFile& file) {
  if (file.format() != kFormat) {
    return Malformed(
        "format", fmt::format("'{}', expected '{}'", file.format(), kFormat));
  }
  RETURN_IF_ERROR(CheckHostId(file.host_id()));
  evidence::SealApproval common;
  common.host_id = file.host_id();
  ASSIGN_OR_RETURN(common.pcrs, PcrsFrom(file));
  common.counter_limit = file.counter_limit();
  ASSIGN_OR_RETURN(common.counter_name,
                   HexField("counter_name", file.counter_name()));
  RETURN_IF_ERROR(evidence::ApprovedPolicy(common).status());
  std::vector<evidence::SealApproval> approvals;
  for (const v1::ApprovedPurpose& entry : file.approvals()) {
    evidence::SealApproval approval = common;
    ASSIGN_OR_RETURN(approval.purpose, PurposeNamed(entry.purpose()));
    ASSIGN_OR_RETURN(approval.signature,
                     HexField("approvals.signature", entry.signature()));
    RETURN_IF_ERROR_WITH(
        evidence::ParseEcdsaSignature(approval.signature).status(),
        "approvals.signature");
    if (!approvals.empty() && approvals.back().purpose >= approval.purpose) {
      return Malformed("approvals", "not each purpose once, in order");
    }
    approvals.push_back(std::move(approval));
  }
  if (approvals.empty()) {
    return Malformed("approvals", "none");
  }
  return approvals;
}

absl::Status CheckSameBoot(const evidence::SealApproval& a,
                           const evidence::SealApproval& b) {
  if (a.host_id != b.host_id || a.pcrs != b.pcrs ||
      a.counter_limit != b.counter_limit || a.counter_name != b.counter_name) {
    return Malformed(kWhat, "approvals of more than one boot");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SealApprovalsToJson(
    std::vector<evidence::SealApproval> approvals) {
  if (approvals.empty()) {
    return Malformed("approvals", "none");
  }
  std::sort(approvals.begin(), approvals.end(),
            [](const auto& a, const auto& b) { return a.purpose < b.purpose; });
  const evidence::SealApproval& first = approvals.front();
  v1::SealApprovalFile file;
  file.set_format(std::string(kFormat));
  file.set_host_id(first.host_id);
  for (const Bank& bank : kBanks) {
    if (bank.algorithm == first.pcrs.bank) {
      file.set_bank(std::string(bank.name));
    }
  }
  for (const auto& [index, value] : first.pcrs.values) {
    v1::ApprovedPcr& pcr = *file.add_pcrs();
    pcr.set_index(index);
    pcr.set_value(ToHex(value));
  }
  file.set_counter_limit(first.counter_limit);
  file.set_counter_name(ToHex(first.counter_name));
  for (const evidence::SealApproval& approval : approvals) {
    RETURN_IF_ERROR(CheckSameBoot(first, approval));
    v1::ApprovedPurpose& entry = *file.add_approvals();
    entry.set_purpose(std::string(ToString(approval.purpose)));
    entry.set_signature(ToHex(approval.signature));
  }
  RETURN_IF_ERROR(FromMessage(file).status());
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto printed =
      google::protobuf::util::MessageToJsonString(file, &json, options);
  if (!printed.ok()) {
    return Malformed(kWhat, std::string(printed.message()));
  }
  return json;
}

absl::StatusOr<std::vector<evidence::SealApproval>> SealApprovalsFromJson(
    std::string_view json) {
  if (json.size() > kMaxSealApprovalSize) {
    return Malformed(kWhat, fmt::format("{} bytes, at most {} are allowed",
                                        json.size(), kMaxSealApprovalSize));
  }
  const google::protobuf::LogSilencer silence;
  v1::SealApprovalFile file;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &file);
  if (!parsed.ok()) {
    return Malformed(
        kWhat, "not JSON of seal approvals: " + std::string(parsed.message()));
  }
  ASSIGN_OR_RETURN(std::vector<evidence::SealApproval> approvals,
                   FromMessage(file));
  ASSIGN_OR_RETURN(const std::string canonical, SealApprovalsToJson(approvals));
  RETURN_IF_ERROR(CheckCanonical(AsBytes(json), AsBytes(canonical), kWhat));
  return approvals;
}

}  // namespace vmattest::wire
