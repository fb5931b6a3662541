// Entries that are signed here and sent to a ledger.
#include <google/protobuf/util/json_util.h>

#include <charconv>

#include "base/clock.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/ledger_client.h"
#include "cli/print.h"
#include "cli/trust_command.h"
#include "crypto/digest.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "ledger/entry.h"
#include "ledger/score_rules.h"
#include "vmattest/verifier/ledger_key.h"

namespace vmattest::cli {
namespace {

constexpr size_t kMaxEvidence = 1u << 20;
constexpr int64_t kDayMs = 86'400'000;

int Told(const absl::StatusOr<std::string>& done, std::ostream& out,
         std::ostream& err) {
  if (done.ok()) {
    out << *done << "\n";
    return kExitGood;
  }
  err << fmt::format("vmattest: {}: {}\n",
                     absl::StatusCodeToString(done.status().code()),
                     Printable(std::string(done.status().message())));
  return ExitCodeOf(done.status());
}

// A ledger without a record has no checkpoint that says its name.
absl::StatusOr<std::string> OriginOf(const std::string& given,
                                     LedgerClient& client) {
  return given.empty() ? client.Origin() : given;
}

absl::StatusOr<std::string> Send(LedgerClient& client,
                                 const v1::LedgerEntryBody& body,
                                 const std::string& key_file,
                                 const std::string& origin) {
  ASSIGN_OR_RETURN(const document::PrivateKey key,
                   document::LoadPrivateKey(key_file));
  ASSIGN_OR_RETURN(const uint64_t index, client.Write(body, key, origin));
  return fmt::format("{}: record {}", ledger::TypeName(body), index);
}

absl::StatusOr<std::string> Write(const LedgerWriteArgs& args) {
  ASSIGN_OR_RETURN(const Bytes json,
                   ReadFile(args.file, ledger::kMaxEntrySize));
  v1::LedgerEntryBody body;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      std::string(AsText(json)), &body);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", args.file, parsed.ToString()));
  }
  if (body.has_host_authorise() || body.has_key_delegate()) {
    return absl::InvalidArgumentError(
        "keys of hosts are for `vmattest ledger authorise`, which checks what "
        "their TPMs say");
  }
  ASSIGN_OR_RETURN(LedgerClient client, LedgerClient::Open(args.connection));
  ASSIGN_OR_RETURN(const std::string origin, OriginOf(args.log, client));
  return Send(client, body, args.key, origin);
}

absl::StatusOr<std::string> Register(const LedgerRegisterArgs& args) {
  ASSIGN_OR_RETURN_WITH(const Uuid vm, ParseUuid(args.vm), "vm");
  ASSIGN_OR_RETURN(LedgerClient client, LedgerClient::Open(args.connection));
  ASSIGN_OR_RETURN(const std::string origin, OriginOf(args.log, client));
  v1::LedgerEntryBody body;
  v1::LedgerVmRegister& message = *body.mutable_vm_register();
  message.set_vm_id(std::string(vm.bytes.begin(), vm.bytes.end()));
  message.set_owner(args.owner);
  message.set_home(args.home);
  ASSIGN_OR_RETURN_WITH(const Bytes ek, ParseHex(args.ek), "--ek");
  message.set_ek_fingerprint(std::string(AsText(ek)));
  message.set_disk_lineage(args.lineage);
  const absl::StatusOr<v1::GetTrustResponse> known = client.GetTrust(vm);
  if (known.ok()) {
    message.set_vm_previous(known->newest_hash());
  } else if (!absl::IsNotFound(known.status())) {
    return known.status();
  }
  return Send(client, body, args.key, origin);
}

// "REASON=POINTS"
absl::Status AddWeight(const std::string& text, trust::ScoreRules& rules) {
  const size_t at = text.find('=');
  int64_t points = 0;
  const char* const end = text.data() + text.size();
  if (at == 0 || at == std::string::npos ||
      std::from_chars(text.data() + at + 1, end, points).ptr != end ||
      points < 0 || points > rules.cap / trust::kPoint ||
      !rules.weights.emplace(text.substr(0, at), points * trust::kPoint)
           .second) {
    return absl::InvalidArgumentError(
        fmt::format("--weight {}: expected REASON=POINTS, 0 to {}, each reason "
                    "once",
                    text, rules.cap / trust::kPoint));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SetPolicy(const LedgerPolicyArgs& args) {
  trust::ScoreRules rules =
      args.rules == 1 ? trust::RulesV1() : trust::RulesV2();
  for (const std::string& weight : args.weights) {
    RETURN_IF_ERROR(AddWeight(weight, rules));
  }
  ASSIGN_OR_RETURN(LedgerClient client, LedgerClient::Open(args.connection));
  ASSIGN_OR_RETURN(const std::string origin, OriginOf(args.log, client));
  v1::LedgerEntryBody body;
  *body.mutable_policy()->mutable_score() = ledger::ToMessage(rules);
  return Send(client, body, args.key, origin);
}

// What the host's TPM says of the key, believed through the anchors alone.
absl::StatusOr<verifier::LedgerKeyAppraisal> Appraise(
    const LedgerAuthoriseArgs& args, const Bytes& evidence,
    const std::string& origin) {
  ASSIGN_OR_RETURN(const verifier::Anchors anchors,
                   verifier::Anchors::LoadFolder(args.anchors));
  verifier::Policy policy;
  policy.max_age = std::chrono::hours(args.max_age_hours);
  ASSIGN_OR_RETURN(verifier::LedgerKeyAppraisal appraisal,
                   verifier::VerifyLedgerKey(evidence, anchors, policy, origin,
                                             SystemClock().Now()));
  if (!appraisal.verdict.trusted()) {
    std::string reasons;
    for (const Reason& reason : appraisal.verdict.reasons) {
      reasons += fmt::format(" {}: {} (expected '{}', found '{}')", reason.code,
                             reason.element, reason.expected, reason.found);
    }
    return absl::PermissionDeniedError("the evidence is not to be believed:" +
                                       reasons);
  }
  return appraisal;
}

absl::StatusOr<std::string> Authorise(const LedgerAuthoriseArgs& args) {
  ASSIGN_OR_RETURN(const Bytes evidence, ReadFile(args.evidence, kMaxEvidence));
  ASSIGN_OR_RETURN(LedgerClient client, LedgerClient::Open(args.connection));
  ASSIGN_OR_RETURN(const std::string origin, OriginOf(args.log, client));
  ASSIGN_OR_RETURN(const verifier::LedgerKeyAppraisal host,
                   Appraise(args, evidence, origin));
  const std::string& host_id = host.claims.host_id;
  const std::string spki(AsText(host.key_spki));
  const std::string hash(AsText(Hash(HashAlgorithm::kSha256, evidence)));
  const int64_t until = args.days == 0
                            ? 0
                            : SystemClock().Now().time_since_epoch().count() +
                                  int64_t{args.days} * kDayMs;
  ASSIGN_OR_RETURN(const v1::GetWriterResponse known,
                   client.GetWriter(host_id));
  v1::LedgerEntryBody body;
  if (known.authorised()) {
    v1::LedgerKeyDelegate& message = *body.mutable_key_delegate();
    message.set_host_id(host_id);
    message.set_key_spki(spki);
    message.set_not_after_unix_ms(until);
    message.set_key_evidence_hash(hash);
  } else {
    v1::LedgerHostAuthorise& message = *body.mutable_host_authorise();
    message.set_host_id(host_id);
    // The host's id is the digest in its EK's name.
    ASSIGN_OR_RETURN(const Bytes ek, ParseHex(host_id));
    message.set_ek_fingerprint(std::string(AsText(ek)));
    message.set_ak_name(std::string(AsText(host.claims.ak_name)));
    message.set_key_spki(spki);
    message.set_not_after_unix_ms(until);
    message.set_witness_vkey(args.witness_vkey);
    message.set_key_evidence_hash(hash);
  }
  ASSIGN_OR_RETURN(const std::string done,
                   Send(client, body, args.key, origin));
  return fmt::format("{}, host {}", done, host_id);
}

}  // namespace

int RunLedgerWrite(const LedgerWriteArgs& args, std::ostream& out,
                   std::ostream& err) {
  return Told(Write(args), out, err);
}

int RunLedgerRegister(const LedgerRegisterArgs& args, std::ostream& out,
                      std::ostream& err) {
  return Told(Register(args), out, err);
}

int RunLedgerPolicy(const LedgerPolicyArgs& args, std::ostream& out,
                    std::ostream& err) {
  return Told(SetPolicy(args), out, err);
}

int RunLedgerAuthorise(const LedgerAuthoriseArgs& args, std::ostream& out,
                       std::ostream& err) {
  return Told(Authorise(args), out, err);
}

}  // namespace vmattest::cli
