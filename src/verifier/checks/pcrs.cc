#include <fmt/format.h>

#include <algorithm>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr uint16_t kAlgSha256 = 0x000B;
constexpr uint16_t kAlgSha384 = 0x000C;
constexpr uint32_t kLastBootPcr = 7;

CheckResult CheckSelection(const Context& context) {
  const auto& selections = context.attest.pcr_selections;
  if (selections.empty() || selections.front().indexes.empty()) {
    return CheckResult::Fail(reason::kPcrSelectionEmpty,
                             "tpm2-quote.quoted.pcr_select", "at least one PCR",
                             "none");
  }
  const uint16_t bank = selections.front().bank;
  if (selections.size() != 1 || (bank != kAlgSha256 && bank != kAlgSha384)) {
    return CheckResult::Fail(
        reason::kPcrBank, "tpm2-quote.quoted.pcr_select",
        "one bank, sha256 or sha384",
        fmt::format("{} banks, the first {:#06x}", selections.size(), bank));
  }
  for (const uint32_t index : context.policy.required_pcrs) {
    const auto& indexes = selections.front().indexes;
    if (std::find(indexes.begin(), indexes.end(), index) == indexes.end()) {
      return CheckResult::Fail(
          reason::kPcrRequired, fmt::format("PCR {}", index), "quoted",
          fmt::format("only {} are", fmt::join(indexes, ", ")));
    }
  }
  return CheckResult::Pass();
}

CheckResult CheckValues(const evidence::PcrSelection& selection,
                        const std::vector<PcrValues>& banks) {
  if (banks.size() != 1 || banks.front().bank != selection.bank) {
    return CheckResult::Fail(
        banks.empty() ? reason::kPcrValueMissing : reason::kPcrValueUnselected,
        "tpm2-quote.pcr_banks", fmt::format("bank {:#06x}", selection.bank),
        fmt::format("{} banks", banks.size()));
  }
  const auto& values = banks.front().values;
  const size_t size = selection.bank == kAlgSha384 ? 48 : 32;
  for (const uint32_t index : selection.indexes) {
    const auto value = values.find(index);
    if (value == values.end()) {
      return CheckResult::Fail(reason::kPcrValueMissing,
                               fmt::format("PCR {}", index), "a value", "none");
    }
    if (value->second.size() != size) {
      return CheckResult::Fail(reason::kPcrValueSize,
                               fmt::format("PCR {}", index),
                               fmt::format("{} bytes", size),
                               fmt::format("{} bytes", value->second.size()));
    }
  }
  for (const auto& [index, value] : values) {
    const auto& indexes = selection.indexes;
    if (std::find(indexes.begin(), indexes.end(), index) == indexes.end()) {
      return CheckResult::Fail(reason::kPcrValueUnselected,
                               fmt::format("PCR {}", index),
                               "no value: it is not quoted", ToHex(value));
    }
  }
  return CheckResult::Pass();
}

// The hash of the digest is that of the signature scheme (Part 3, TPM2_Quote).
CheckResult CheckDigest(const Context& context) {
  const absl::StatusOr<Bytes> digest = evidence::PcrDigest(
      context.quote_signature.hash, context.attest.pcr_selections,
      context.quote->pcr_banks);
  if (!digest.ok() || *digest != context.attest.pcr_digest) {
    return CheckResult::Fail(
        reason::kPcrDigest, "tpm2-quote.pcr_banks",
        ToHex(context.attest.pcr_digest),
        digest.ok() ? ToHex(*digest) : std::string(digest.status().message()));
  }
  return CheckResult::Pass();
}

// CVE-2021-42299: a bank that the firmware never extended can be filled by
// whoever comes later. Every boot PCR of a measured bank has a separator.
CheckResult CheckMeasured(const PcrValues& bank) {
  for (const auto& [index, value] : bank.values) {
    const bool zero = std::all_of(value.begin(), value.end(),
                                  [](uint8_t byte) { return byte == 0; });
    if (index <= kLastBootPcr && zero) {
      return CheckResult::Fail(
          reason::kPcrUnmeasured,
          fmt::format("PCR {} of bank {:#06x}", index, bank.bank),
          "measured by the firmware", "zero");
    }
  }
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckPcrs(const Context& context) {
  if (CheckResult result = CheckSelection(context); !result.passed()) {
    return result;
  }
  if (CheckResult result = CheckValues(context.attest.pcr_selections.front(),
                                       context.quote->pcr_banks);
      !result.passed()) {
    return result;
  }
  if (CheckResult result = CheckDigest(context); !result.passed()) {
    return result;
  }
  return CheckMeasured(context.quote->pcr_banks.front());
}

}  // namespace vmattest::verifier
