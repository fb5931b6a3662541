#include "cli/verify_command.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "appraisal/appraise.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/uuid.h"
#include "cli/appraisal_json.h"
#include "cli/exit_code.h"
#include "cli/reference.h"
#include "cli/reference_document.h"
#include "cli/snapshot_show.h"
#include "cli/verify_state.h"
#include "vmattest/verifier/disclosure.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

constexpr size_t kMinNonce = 16;
constexpr size_t kMaxNonce = 64;

absl::StatusOr<verifier::Policy> MakePolicy(const VerifyArgs& args) {
  verifier::Policy policy;
  policy.required_signatures.insert(policy.required_signatures.end(),
                                    args.require.begin(), args.require.end());
  policy.max_age = args.max_age;
  policy.require_fresh_content = args.fresh;
  policy.refuse_unavailable = args.refuse_unavailable;
  policy.max_unmanaged_vms = args.max_unmanaged;
  if (args.nonce) {
    ASSIGN_OR_RETURN_WITH(Bytes nonce, ParseHex(*args.nonce), "--nonce");
    if (nonce.size() < kMinNonce || nonce.size() > kMaxNonce) {
      return absl::InvalidArgumentError(
          fmt::format("--nonce: {} bytes, must be {} to {}", nonce.size(),
                      kMinNonce, kMaxNonce));
    }
    policy.nonce = std::move(nonce);
  }
  if (args.vm) {
    ASSIGN_OR_RETURN_WITH(const Uuid uuid, ParseUuid(*args.vm), "--vm");
    policy.expected_vm_uuid = ToString(uuid);
  }
  if (args.expect) {
    ASSIGN_OR_RETURN_WITH(Reference reference, LoadReference(*args.expect),
                          "--expect");
    if (reference.leaves) {
      policy.expected_leaves = std::move(reference.leaves);
    }
    // A salted root holds where the leaves are kept back; a public one would
    // only repeat what the leaves say.
    if (reference.salted || !policy.expected_leaves) {
      policy.expected_root = std::move(reference.root);
    }
  }
  return policy;
}

class Report {
 public:
  explicit Report(std::ostream& out) : out_(out) {}
  void Line(std::string_view label, const std::string& text) {
    out_ << fmt::format("{:<12}{}\n", label, text);
  }

 private:
  std::ostream& out_;
};

std::string Time(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  if (gmtime_r(&seconds, &utc) == nullptr) {
    return fmt::format("{} ms", unix_ms);
  }
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

std::string BankName(uint16_t bank) {
  switch (bank) {
    case 0x000B:
      return "sha256";
    case 0x000C:
      return "sha384";
    default:
      return fmt::format("{:#06x}", bank);
  }
}

std::string Signatures(const std::vector<verifier::SignatureClaim>& claims) {
  std::vector<std::string> texts;
  for (const verifier::SignatureClaim& claim : claims) {
    texts.push_back(
        fmt::format("{} {}", log::Quote(claim.algorithm), claim.state));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

void PrintClaims(const verifier::Claims& claims, Report& report) {
  report.Line(
      "vm", fmt::format("{} {}, {}, {} definition", log::Quote(claims.vm_name),
                        log::Quote(claims.vm_uuid), log::Quote(claims.vm_state),
                        log::Quote(claims.xml_kind)));
  report.Line("host", fmt::format("{} {}", log::Quote(claims.hostname),
                                  log::Quote(claims.host_id)));
  report.Line("root",
              fmt::format("{}:{} over {} leaves", ToString(claims.algorithm),
                          ToHex(claims.root), claims.leaf_count));
  report.Line("made",
              fmt::format("{} by vmattest {}", Time(claims.time_unix_ms),
                          log::Quote(claims.module_version)));
  report.Line(
      "tpm clock",
      fmt::format("measured at {} ms, quoted at {} ms, reset {}, restart {}{}",
                  claims.measured_at.clock_ms, claims.quoted_at.clock_ms,
                  claims.quoted_at.reset_count, claims.quoted_at.restart_count,
                  claims.quoted_at.safe ? "" : ", after an unclean stop"));
  for (const PcrValues& bank : claims.pcr_banks) {
    for (const auto& [index, value] : bank.values) {
      report.Line(fmt::format("pcr {}", index),
                  fmt::format("{}:{}", BankName(bank.bank), ToHex(value)));
    }
  }
  report.Line("signatures",
              fmt::format("{}, in a batch of {}", Signatures(claims.signatures),
                          claims.batch_size));
  report.Line("ak", claims.ak);
  report.Line("freshness", claims.freshness);
  report.Line("content", fmt::format("{}, {} digests from the cache",
                                     log::Quote(claims.content),
                                     claims.cached_paths.size()));
  for (const std::string& path : claims.cached_paths) {
    report.Line("  cached", log::Quote(path));
  }
  report.Line("inside", log::Quote(claims.inside));
  if (!claims.log_head.empty()) {
    report.Line("event log", fmt::format("{} records, head {}", claims.log_size,
                                         ToHex(claims.log_head)));
    report.Line("unmanaged",
                fmt::format("{} VMs beside libvirt", claims.unmanaged_vms));
  }
}

// `fixes`: one for each reason, or none at all.
void PrintAppraisal(const verifier::Appraisal& appraisal,
                    const std::vector<std::string>& fixes, std::ostream& out) {
  Report report(out);
  report.Line("verdict",
              appraisal.verdict.trusted() ? "trusted" : "NOT TRUSTED");
  for (size_t i = 0; i < appraisal.verdict.reasons.size(); ++i) {
    const Reason& reason = appraisal.verdict.reasons[i];
    report.Line("reason", reason.code);
    report.Line("  element", log::Quote(reason.element));
    report.Line("  expected", log::Quote(reason.expected));
    report.Line("  found", log::Quote(reason.found));
    if (i < fixes.size() && !fixes[i].empty()) {
      report.Line("  fix", log::Quote(fixes[i]));
    }
  }
  if (!appraisal.verdict.trusted()) {
    if (appraisal.claims.host_id.empty()) {
      return;  // it could not even be read
    }
    out << (appraisal.genuine
                ? "The host did say this; it is not what was demanded:\n"
                : "What it says, not to be believed:\n");
  }
  PrintClaims(appraisal.claims, report);
}

void PrintLeaves(const std::vector<ConfigLeaf>& leaves, std::ostream& out) {
  Report report(out);
  for (const ConfigLeaf& leaf : leaves) {
    report.Line("leaf",
                fmt::format("{} {} {}", log::Quote(leaf.path),
                            ToString(leaf.type), log::Quote(leaf.value)));
  }
}

int Fail(std::ostream& err, const absl::Status& status, int code) {
  err << "vmattest verify: " << log::Quote(std::string(status.message()))
      << "\n";
  return code;
}

// What a reference says itself must not be said beside it.
absl::Status CheckAlone(const VerifyArgs& args) {
  if (args.expect || !args.require.empty() || args.fresh ||
      args.refuse_unavailable || args.max_unmanaged) {
    return absl::InvalidArgumentError(
        "--reference says what is demanded: only --nonce, --max-age and --vm "
        "go with it");
  }
  return absl::OkStatus();
}

appraisal::Request RequestOf(const verifier::Policy& policy,
                             ByteView evidence) {
  appraisal::Request request;
  request.evidence = evidence;
  request.nonce = policy.nonce;
  request.vm_uuid = policy.expected_vm_uuid;
  request.max_age = policy.max_age;
  return request;
}

int VerifyByReference(const VerifyArgs& args, const verifier::Policy& policy,
                      const Bytes& file, const verifier::Anchors& anchors,
                      std::ostream& out, std::ostream& err) {
  if (const absl::Status alone = CheckAlone(args); !alone.ok()) {
    return Fail(err, alone, kExitUsage);
  }
  const absl::StatusOr<OpenedReference> opened =
      OpenReference(*args.reference, args.approvers.value_or(""));
  if (!opened.ok()) {
    return Fail(err, opened.status(), kExitUsage);
  }
  if (!opened->verdict.trusted()) {
    const Reason& reason = opened->verdict.reasons.front();
    return Fail(err,
                absl::FailedPreconditionError(fmt::format(
                    "--reference: {}: {}: expected {}, found {}", reason.code,
                    reason.element, reason.expected, reason.found)),
                kExitUndecided);
  }
  const absl::StatusOr<appraisal::Decision> decision =
      appraisal::Appraise(RequestOf(policy, file), anchors, {opened->reference},
                          SystemClock().Now());
  if (!decision.ok()) {
    return Fail(err, decision.status(), kExitUndecided);
  }
  if (args.json) {
    out << DecisionToJson(*decision) << "\n";
  } else {
    PrintAppraisal({decision->verdict, decision->genuine, decision->claims},
                   decision->fixes, out);
    Report(out).Line(
        "reference",
        fmt::format("{}@{}, {}, signed by {}", opened->reference.name,
                    opened->reference.revision,
                    reference::ToString(opened->reference.mode),
                    log::Quote(opened->signer)));
  }
  return decision->verdict.trusted() ? kExitGood : kExitNotTrustworthy;
}

// The statement is the host's; are the pages the statement's?
int VerifyPages(const VerifyArgs& args, const Bytes& file, std::ostream& err) {
  const absl::StatusOr<evidence::StateStatement> statement = StatementOf(file);
  if (!statement.ok()) {
    return Fail(err, statement.status(), kExitUsage);
  }
  const absl::StatusOr<std::vector<std::string>> problems =
      CheckPagesFile(*statement, args.pages);
  if (!problems.ok()) {
    return Fail(err, problems.status(), kExitUsage);
  }
  for (const std::string& problem : *problems) {
    err << fmt::format("{}: not this snapshot's: {}\n", args.pages,
                       log::Quote(problem));
  }
  return problems->empty() ? kExitGood : kExitNotTrustworthy;
}

int VerifyMemory(const VerifyArgs& args, const verifier::Policy& policy,
                 const Bytes& file, const verifier::Anchors& anchors,
                 std::ostream& out, std::ostream& err) {
  const absl::StatusOr<verifier::StateAppraisal> appraisal =
      AppraiseState(args, policy, file, anchors);
  if (!appraisal.ok()) {
    return Fail(err, appraisal.status(),
                absl::IsInvalidArgument(appraisal.status()) ? kExitUsage
                                                            : kExitUndecided);
  }
  if (args.json) {
    out << StateToJson(*appraisal) << "\n";
  } else {
    PrintAppraisal({appraisal->verdict, appraisal->genuine, appraisal->claims},
                   {}, out);
    PrintState(appraisal->state, out);
  }
  if (!appraisal->verdict.trusted()) {
    return kExitNotTrustworthy;
  }
  return args.pages.empty() ? kExitGood : VerifyPages(args, file, err);
}

}  // namespace

int RunVerify(const VerifyArgs& args, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<verifier::Policy> policy = MakePolicy(args);
  if (!policy.ok()) {
    return Fail(err, policy.status(), kExitUsage);
  }
  const absl::StatusOr<Bytes> file =
      ReadFile(args.file, wire::kMaxEvidenceSize);
  if (!file.ok()) {
    return Fail(err, file.status(), kExitUsage);
  }
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(args.anchors, ignored);
  const absl::StatusOr<verifier::Anchors> anchors =
      verifier::Anchors::LoadFolder(args.anchors);
  if (!anchors.ok()) {
    const bool none = is_folder && absl::IsNotFound(anchors.status());
    return Fail(err, anchors.status(), none ? kExitUndecided : kExitUsage);
  }
  const bool discloses = wire::IsDisclosure(*file);
  if (args.reference) {
    return discloses
               ? Fail(err,
                      absl::InvalidArgumentError(
                          "--reference: a disclosure has not all leaves"),
                      kExitUsage)
               : VerifyByReference(args, *policy, *file, *anchors, out, err);
  }
  if (!discloses && IsStateEvidence(*file)) {
    return VerifyMemory(args, *policy, *file, *anchors, out, err);
  }
  const absl::StatusOr<verifier::Appraisal> appraisal =
      (discloses ? verifier::VerifyDisclosure : verifier::Verify)(
          *file, *anchors, *policy, SystemClock().Now());
  if (!appraisal.ok()) {
    return Fail(err, appraisal.status(), kExitUndecided);
  }
  if (args.json) {
    out << (discloses ? DisclosureToJson(*appraisal)
                      : AppraisalToJson(*appraisal))
        << "\n";
  } else {
    PrintAppraisal(*appraisal, {}, out);
    if (discloses && !appraisal->claims.host_id.empty()) {
      PrintLeaves(appraisal->claims.leaves, out);
    }
  }
  return appraisal->verdict.trusted() ? kExitGood : kExitNotTrustworthy;
}

}  // namespace vmattest::cli
