#include "cli/seal_approve.h"

#include <fmt/format.h>

#include <charconv>

#include "evidence/seal_authority.h"
#include "wire/seal_approval.h"

namespace vmattest::cli {
namespace {

constexpr KeyPurpose kPurposes[] = {
    KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
    KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};

absl::StatusOr<std::vector<KeyPurpose>> Purposes(
    const std::vector<std::string>& names) {
  if (names.empty()) {
    return std::vector<KeyPurpose>(std::begin(kPurposes), std::end(kPurposes));
  }
  std::vector<KeyPurpose> purposes;
  for (const std::string& name : names) {
    const auto known = std::find_if(
        std::begin(kPurposes), std::end(kPurposes),
        [&](KeyPurpose purpose) { return name == ToString(purpose); });
    if (known == std::end(kPurposes)) {
      return absl::InvalidArgumentError(
          fmt::format("'{}' is no purpose: config, state, profile, liveness, "
                      "ledger or authorization",
                      name));
    }
    purposes.push_back(*known);
  }
  return purposes;
}

absl::Status SetPcr(const std::string& text, PcrValues& pcrs) {
  const size_t equals = text.find('=');
  uint32_t index = 0;
  if (equals != std::string::npos) {
    const char* const end = text.data() + equals;
    const auto parsed = std::from_chars(text.data(), end, index);
    absl::StatusOr<Bytes> value = ParseHex(text.substr(equals + 1));
    if (parsed.ec == std::errc() && parsed.ptr == end && value.ok()) {
      if (!pcrs.values.contains(index)) {
        return absl::InvalidArgumentError(fmt::format(
            "PCR {} is none of those that this host's seeds are sealed to",
            index));
      }
      pcrs.values[index] = *std::move(value);
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      fmt::format("--pcr '{}' is not N=HEX", text));
}

}  // namespace

absl::StatusOr<std::string> MakeSealApprovals(const SealApproveArgs& args,
                                              SealStatus status) {
  for (const std::string& pcr : args.pcrs) {
    RETURN_IF_ERROR(SetPcr(pcr, status.pcrs));
  }
  evidence::PcrSelection selection{.bank = status.pcrs.bank, .indexes = {}};
  for (const auto& [index, value] : status.pcrs.values) {
    selection.indexes.push_back(index);
  }
  RETURN_IF_ERROR_WITH(evidence::CheckSealPcrs(selection), "seal status");
  ASSIGN_OR_RETURN(const std::vector<KeyPurpose> purposes,
                   Purposes(args.purposes));
  ASSIGN_OR_RETURN(const evidence::SealAuthority authority,
                   evidence::SealAuthority::Load(args.authority_key));
  if (authority.public_area() != status.authority) {
    return absl::InvalidArgumentError(
        fmt::format("{} is not the key of host {}'s seal authority",
                    args.authority_key, status.host_id));
  }
  std::vector<evidence::SealApproval> approvals;
  for (const KeyPurpose purpose : purposes) {
    evidence::SealApproval approval;
    approval.host_id = status.host_id;
    approval.purpose = purpose;
    approval.pcrs = status.pcrs;
    approval.counter_limit = args.counter_limit.value_or(status.counter);
    approval.counter_name = status.counter_name;
    RETURN_IF_ERROR(authority.Sign(approval));
    approvals.push_back(std::move(approval));
  }
  return wire::SealApprovalsToJson(std::move(approvals));
}

}  // namespace vmattest::cli
