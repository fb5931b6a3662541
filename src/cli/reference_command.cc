#include "cli/reference_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "appraisal/appraise.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/exit_code.h"
#include "cli/reference_document.h"
#include "document/key_files.h"
#include "reference/reason_codes.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using nlohmann::ordered_json;
using reference::Reference;

constexpr int64_t kDayMs = 24LL * 3600 * 1000;
constexpr uint32_t kMaxDays = 3650;

int Fail(std::ostream& err, std::string_view command,
         const absl::Status& status) {
  err << "vmattest reference " << command << ": "
      << log::Quote(std::string(status.message())) << "\n";
  return ExitCodeOf(status);
}

std::string Dump(const ordered_json& json) {
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) +
         "\n";
}

ordered_json ToJson(const std::vector<Reason>& reasons) {
  ordered_json list = ordered_json::array();
  for (const Reason& reason : reasons) {
    list.push_back({{"code", reason.code},
                    {"element", reason.element},
                    {"expected", reason.expected},
                    {"found", reason.found}});
  }
  return list;
}

ordered_json Summary(const Reference& reference) {
  return {{"name", reference.name},
          {"revision", reference.revision},
          {"mode", reference::ToString(reference.mode)},
          {"vm_uuids", reference.vm_uuids},
          {"roots", reference.roots.size()},
          {"rules", reference.rules.size()},
          {"not_before_unix_ms", reference.header.not_before_unix_ms},
          {"not_after_unix_ms", reference.header.not_after_unix_ms}};
}

std::string Line(const Reference& reference) {
  return fmt::format("{}@{}: {}, for {}, {} roots, {} rules\n", reference.name,
                     reference.revision, reference::ToString(reference.mode),
                     fmt::join(reference.vm_uuids, ", "),
                     reference.roots.size(), reference.rules.size());
}

void Print(const std::vector<Reason>& reasons, std::string_view indent,
           std::ostream& out) {
  for (const Reason& reason : reasons) {
    out << fmt::format("{}{} {}: expected {}, found {}\n", indent, reason.code,
                       log::Quote(reason.element), log::Quote(reason.expected),
                       log::Quote(reason.found));
  }
}

absl::Status Write(const std::optional<std::string>& file,
                   std::string_view text, std::ostream& out) {
  if (file) {
    return WriteFileAtomic(*file, AsBytes(text));
  }
  out << text;
  return absl::OkStatus();
}

std::string Template(const ReferenceNewArgs& args) {
  std::string vms;
  for (const std::string& vm : args.vms) {
    vms += fmt::format("  - \"{}\"\n", vm);
  }
  return fmt::format(
      R"(# Reference values; docs/references.md says what each key means.
name: {}
revision: 1        # higher with every change
vm_uuids:
{}mode: enforce      # enforce, warn or learn
verdict_seconds: 3600
config:
  algorithm: sha256
  content: chain   # full, chain or none: how evidence must be made
  inside: none     # none, inventory or full
  accept_other_leaves: false
  accept_cached_content: true
  accept_unavailable: false
  roots: []        # whole configurations, in hexadecimal
  # equal, one_of, at_least, at_most, absent or any. "*" in a path is any run
  # of characters but /, "**" any run. The path itself goes before patterns,
  # of these the first that matches counts.
  rules:
    - path: "memory/max"
      kind: at_least
      type: size
      values: ["1073741824"]
    - path: "hostdev[**"
      kind: absent
    - path: "**"
      kind: any
# host:
#   host_ids: []
#   pcrs:
#     - index: 7
#       values: ["..."]
#   required_signatures: ["tpm2-quote", "ml-dsa-65"]
#   max_unmanaged_vms: 0
)",
      args.name, vms);
}

absl::Status Sign(const ReferenceSignArgs& args, std::ostream& out) {
  if (args.days == 0 || args.days > kMaxDays) {
    return absl::InvalidArgumentError(
        fmt::format("--days: must be 1 to {}", kMaxDays));
  }
  ASSIGN_OR_RETURN(Reference reference, LoadReferenceYaml(args.file));
  ASSIGN_OR_RETURN(const document::PrivateKey key,
                   document::LoadPrivateKey(args.key));
  reference::Header& header = reference.header;
  header.issued_unix_ms = SystemClock().Now().time_since_epoch().count();
  if (header.not_before_unix_ms == 0) {
    header.not_before_unix_ms = header.issued_unix_ms;
  }
  if (header.not_after_unix_ms == 0) {
    header.not_after_unix_ms = header.not_before_unix_ms + args.days * kDayMs;
  }
  header.signature_algorithms = key.algorithms();
  const Bytes payload = reference::Encode(reference);
  RETURN_IF_ERROR(reference::Parse(payload).status());
  ASSIGN_OR_RETURN(const Bytes file,
                   key.Sign(document::kReferencePayloadType, payload));
  RETURN_IF_ERROR(WriteFileAtomic(args.out, file));
  out << Line(reference);
  return absl::OkStatus();
}

std::vector<Reason> NotNow(const reference::Header& header, WallTime now) {
  const int64_t now_unix_ms = now.time_since_epoch().count();
  if (now_unix_ms >= header.not_before_unix_ms &&
      now_unix_ms < header.not_after_unix_ms) {
    return {};
  }
  return {{std::string(reference::reason::kNotValid), "header",
           fmt::format("{} to {} ms", header.not_before_unix_ms,
                       header.not_after_unix_ms),
           fmt::format("now {} ms", now_unix_ms)}};
}

absl::StatusOr<Reference> Learn(const ReferenceLearnArgs& args,
                                std::vector<Reason>& not_genuine) {
  ASSIGN_OR_RETURN(const Bytes file,
                   ReadFile(args.file, wire::kMaxEvidenceSize));
  ASSIGN_OR_RETURN(const verifier::Anchors anchors,
                   verifier::Anchors::LoadFolder(args.anchors));
  ASSIGN_OR_RETURN(
      const verifier::Appraisal appraisal,
      verifier::Verify(file, anchors, verifier::Policy(), SystemClock().Now()));
  not_genuine = appraisal.verdict.reasons;
  const verifier::Claims& claims = appraisal.claims;
  Reference learned = reference::Learn(
      args.name, claims.vm_uuid, claims.algorithm, claims.leaves, claims.root);
  learned.content = claims.content;
  learned.inside = claims.inside;
  learned.comment = fmt::format("learned from evidence of {}", claims.vm_name);
  if (args.rules_only) {
    learned.roots.clear();
  }
  return learned;
}

absl::StatusOr<std::vector<appraisal::Flip>> Simulate(
    const ReferenceSimulateArgs& args) {
  ASSIGN_OR_RETURN(const Reference proposed, LoadReferenceYaml(args.proposed));
  ASSIGN_OR_RETURN(const verifier::Anchors anchors,
                   verifier::Anchors::LoadFolder(args.anchors));
  std::vector<Reference> active;
  for (const std::string& file : args.active) {
    if (!args.approvers) {
      return absl::InvalidArgumentError("--active needs --approvers");
    }
    ASSIGN_OR_RETURN(OpenedReference opened,
                     OpenReference(file, *args.approvers));
    if (!opened.verdict.trusted()) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {}", file, opened.verdict.reasons.front().code));
    }
    active.push_back(std::move(opened.reference));
  }
  std::vector<Bytes> recorded;
  for (const std::string& file : args.files) {
    ASSIGN_OR_RETURN(Bytes evidence, ReadFile(file, wire::kMaxEvidenceSize));
    recorded.push_back(std::move(evidence));
  }
  return appraisal::Simulate(recorded, anchors, active, proposed);
}

std::string_view Word(bool allowed) { return allowed ? "allowed" : "refused"; }

}  // namespace

int RunReferenceNew(const ReferenceNewArgs& args, std::ostream& out,
                    std::ostream& err) {
  const std::string yaml = Template(args);
  absl::Status status = reference::FromYaml(yaml).status();
  if (status.ok()) {
    status = Write(args.out, yaml, out);
  }
  return status.ok() ? kExitGood : Fail(err, "new", status);
}

int RunReferenceCheck(const ReferenceCheckArgs& args, std::ostream& out,
                      std::ostream& err) {
  const absl::StatusOr<Reference> reference = LoadReferenceYaml(args.file);
  if (!reference.ok()) {
    return Fail(err, "check", reference.status());
  }
  out << (args.json ? Dump(Summary(*reference)) : Line(*reference));
  return kExitGood;
}

int RunReferenceSign(const ReferenceSignArgs& args, std::ostream& out,
                     std::ostream& err) {
  const absl::Status status = Sign(args, out);
  return status.ok() ? kExitGood : Fail(err, "sign", status);
}

int RunReferenceVerify(const ReferenceVerifyArgs& args, std::ostream& out,
                       std::ostream& err) {
  const absl::StatusOr<OpenedReference> opened =
      OpenReference(args.file, args.approvers);
  if (!opened.ok()) {
    return Fail(err, "verify", opened.status());
  }
  std::vector<Reason> reasons = opened->verdict.reasons;
  if (opened->verdict.trusted()) {
    reasons = NotNow(opened->reference.header, SystemClock().Now());
  }
  const bool good = opened->verdict.trusted() && reasons.empty();
  if (args.json) {
    ordered_json json = {{"trusted", good}, {"reasons", ToJson(reasons)}};
    if (opened->verdict.trusted()) {
      json["signer"] = opened->signer;
      json["reference"] = Summary(opened->reference);
    }
    out << Dump(json);
  } else {
    out << (good ? "trusted\n" : "NOT TRUSTED\n");
    Print(reasons, "  ", out);
    if (opened->verdict.trusted()) {
      out << "signed by " << log::Quote(opened->signer) << "\n"
          << Line(opened->reference);
    }
  }
  return good ? kExitGood : kExitNotTrustworthy;
}

int RunReferenceShow(const ReferenceShowArgs& args, std::ostream& out,
                     std::ostream& err) {
  const absl::StatusOr<Bytes> file =
      ReadFile(args.file, document::kMaxDocumentSize);
  if (!file.ok()) {
    return Fail(err, "show", file.status());
  }
  const absl::StatusOr<document::Unchecked> document = document::Peek(*file);
  if (!document.ok()) {
    return Fail(err, "show", document.status());
  }
  const absl::StatusOr<Reference> reference =
      reference::Parse(document->payload);
  if (!reference.ok()) {
    return Fail(err, "show", reference.status());
  }
  const std::string key_id = ToHex(document->key_id);
  if (args.json) {
    out << Dump({{"checked", false},
                 {"key_id", key_id},
                 {"algorithms", document->algorithms},
                 {"reference", Summary(*reference)},
                 {"yaml", reference::ToYaml(*reference)}});
  } else {
    out << fmt::format("# signatures not checked: {} by {}\n",
                       fmt::join(reference->header.signature_algorithms, ", "),
                       key_id)
        << reference::ToYaml(*reference);
  }
  return kExitGood;
}

int RunReferenceLearn(const ReferenceLearnArgs& args, std::ostream& out,
                      std::ostream& err) {
  std::vector<Reason> not_genuine;
  const absl::StatusOr<Reference> learned = Learn(args, not_genuine);
  if (!learned.ok()) {
    return Fail(err, "learn", learned.status());
  }
  if (!not_genuine.empty()) {
    Print(not_genuine, "vmattest reference learn: not trusted: ", err);
    return kExitNotTrustworthy;
  }
  const std::string yaml = reference::ToYaml(*learned);
  absl::Status status = reference::FromYaml(yaml).status();
  if (status.ok()) {
    status = Write(args.out, yaml, out);
  }
  return status.ok() ? kExitGood : Fail(err, "learn", status);
}

int RunReferenceSimulate(const ReferenceSimulateArgs& args, std::ostream& out,
                         std::ostream& err) {
  const absl::StatusOr<std::vector<appraisal::Flip>> flips = Simulate(args);
  if (!flips.ok()) {
    return Fail(err, "simulate", flips.status());
  }
  ordered_json list = ordered_json::array();
  for (const appraisal::Flip& flip : *flips) {
    if (args.json) {
      list.push_back({{"vm_uuid", flip.vm_uuid},
                      {"allowed_before", flip.allowed_before},
                      {"allowed_after", flip.allowed_after},
                      {"reasons", ToJson(flip.reasons)}});
      continue;
    }
    out << fmt::format("{}: {}, would be {}\n", flip.vm_uuid,
                       Word(flip.allowed_before), Word(flip.allowed_after));
    Print(flip.reasons, "  ", out);
  }
  if (args.json) {
    out << Dump({{"examined", args.files.size()}, {"flips", list}});
  } else {
    out << fmt::format("{} of {} would flip\n", flips->size(),
                       args.files.size());
  }
  return flips->empty() ? kExitGood : kExitNotTrustworthy;
}

}  // namespace vmattest::cli
