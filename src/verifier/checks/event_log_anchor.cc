#include <fmt/format.h>

#include "evidence/nv_public.h"
#include "verifier/checks/event_log_checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr size_t kHeadSize = 32;
constexpr size_t kAnchorSize = 8 + kHeadSize;
// Rule S1: kept through power loss and reset, and only written by whoever has
// the index's own authorisation.
constexpr uint32_t kForbidden = evidence::kNvPpWrite | evidence::kNvOwnerWrite |
                                evidence::kNvTypeMask | evidence::kNvOrderly |
                                evidence::kNvClearStclear;

CheckResult CheckIndex(const EventLogContext& log,
                       const evidence::NvPublic& index) {
  const Bytes& pinned = log.context.host->identity.log_index;
  if (pinned != log.statement.anchor.nv_public) {
    return CheckResult::Fail(reason::kEventLogAnchorIndex,
                             "statement.anchor.nv_public", ToHex(pinned),
                             ToHex(log.statement.anchor.nv_public));
  }
  if ((index.attributes & kForbidden) != 0 ||
      (index.attributes & evidence::kNvWritten) == 0 ||
      index.data_size != kAnchorSize) {
    return CheckResult::Fail(
        reason::kEventLogAnchorAttributes, "statement.anchor.nv_public",
        fmt::format("{} bytes, ordinary, written; not orderly, not cleared at "
                    "start, not writable by owner or platform",
                    kAnchorSize),
        fmt::format("{} bytes, attributes {:#010x}", index.data_size,
                    index.attributes));
  }
  return CheckResult::Pass();
}

CheckResult CheckCertify(const EventLogContext& log,
                         const evidence::NvPublic& index,
                         const evidence::Attest& info) {
  if (info.magic != evidence::kTpmGenerated ||
      info.type != evidence::kTpmStAttestNv ||
      info.qualified_signer != log.context.host->ak_qualified_name) {
    return CheckResult::Fail(
        reason::kEventLogAnchorMalformed, "statement.anchor.certify_info",
        fmt::format("TPM2_NV_Certify by {}",
                    ToHex(log.context.host->ak_qualified_name)),
        fmt::format("magic {:#010x}, type {:#06x}, by {}", info.magic,
                    info.type, ToHex(info.qualified_signer)));
  }
  if (info.nv_index_name != index.name) {
    return CheckResult::Fail(reason::kEventLogAnchorIndex,
                             "statement.anchor.certify_info name",
                             ToHex(index.name), ToHex(info.nv_index_name));
  }
  const DigestBytes qualifying =
      evidence::LogAnchorQualifyingData(log.statement.header.nonce);
  if (info.extra_data != qualifying) {
    return CheckResult::Fail(reason::kEventLogAnchorNonce,
                             "statement.anchor.certify_info extra_data",
                             ToHex(qualifying), ToHex(info.extra_data));
  }
  const TpmClock& quoted = log.context.attest.clock;
  if (info.clock.reset_count != quoted.reset_count ||
      info.clock.restart_count > quoted.restart_count ||
      info.clock.clock_ms > quoted.clock_ms) {
    return CheckResult::Fail(
        reason::kEventLogAnchorClock, "statement.anchor.certify_info clock",
        fmt::format("reset {}, at most restart {} and {} ms",
                    quoted.reset_count, quoted.restart_count, quoted.clock_ms),
        fmt::format("reset {}, restart {}, {} ms", info.clock.reset_count,
                    info.clock.restart_count, info.clock.clock_ms));
  }
  return CheckResult::Pass();
}

CheckResult CheckContents(const EventLogContext& log,
                          const evidence::Attest& info) {
  if (info.nv_offset != 0 || info.nv_contents.size() != kAnchorSize) {
    return CheckResult::Fail(
        reason::kEventLogAnchorContents, "anchor",
        fmt::format("{} bytes from offset 0", kAnchorSize),
        fmt::format("{} bytes from offset {}", info.nv_contents.size(),
                    info.nv_offset));
  }
  ByteReader reader(info.nv_contents);
  const uint64_t size = reader.U64();
  const Bytes head = ToBytes(reader.Raw(kHeadSize));
  const uint64_t signed_size = log.statement.header.host->log_size;
  if (size < signed_size) {
    return CheckResult::Fail(reason::kEventLogAnchorBehind, "anchor size",
                             fmt::format("at least {}", signed_size),
                             std::to_string(size));
  }
  const DigestBytes* expected = log.HeadAfter(size);
  if (expected == nullptr) {
    return CheckResult::Fail(
        reason::kEventLogRecordsShort, fmt::format("record {}", size),
        fmt::format("at least {} records, as the anchor says", size),
        fmt::format("the last is record {}", log.bundle.records.back().number));
  }
  if (head != *expected) {
    return CheckResult::Fail(reason::kEventLogAnchorContents,
                             fmt::format("anchor head after record {}", size),
                             ToHex(*expected), ToHex(head));
  }
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckEventLogAnchor(const EventLogContext& log) {
  const evidence::AnchorCertification& anchor = log.statement.anchor;
  if (log.context.host->identity.log_index.empty()) {
    return CheckResult::Fail(
        reason::kEventLogAnchorUnknown,
        "log_index of host " + log.context.host->identity.host_id,
        "pinned with the host's identity", "none");
  }
  const absl::StatusOr<evidence::NvPublic> index =
      evidence::ParseNvPublic(anchor.nv_public);
  const absl::StatusOr<evidence::Attest> info =
      evidence::ParseAttest(anchor.certify_info);
  const absl::StatusOr<evidence::EcdsaSignature> signature =
      evidence::ParseEcdsaSignature(anchor.signature);
  for (const absl::Status& status :
       {index.status(), info.status(), signature.status()}) {
    if (!status.ok()) {
      return CheckResult::Fail(
          reason::kEventLogAnchorMalformed, "statement.anchor",
          "TPM2B_NV_PUBLIC, TPMS_ATTEST and an ECDSA TPMT_SIGNATURE",
          std::string(status.message()));
    }
  }
  if (CheckResult result = CheckIndex(log, *index); !result.passed()) {
    return result;
  }
  if (!SignatureHolds(log.context.host->ak, anchor.certify_info, *signature)) {
    return CheckResult::Fail(
        reason::kEventLogAnchorSignature, "statement.anchor.signature",
        "a signature by the AK of host " + log.context.host->identity.host_id,
        "the signature does not verify");
  }
  if (CheckResult result = CheckCertify(log, *index, *info); !result.passed()) {
    return result;
  }
  return CheckContents(log, *info);
}

}  // namespace vmattest::verifier
