#include "cli/trust_command.h"

#include <ctime>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/ledger_client.h"
#include "cli/message_json.h"
#include "cli/print.h"
#include "fmt/chrono.h"
#include "fmt/format.h"
#include "ledger/entry.h"
#include "tlog/policy.h"
#include "vmattest/ledger/light_client.h"

namespace vmattest::cli {
namespace {

struct Proof {
  bool good = false;
  std::string text;
  std::string type;  // of the newest witnessed entry
};

std::string Time(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  return gmtime_r(&seconds, &utc) == nullptr
             ? fmt::format("{} ms", unix_ms)
             : fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

std::string Points(int64_t milli) {
  return fmt::format("{}.{:03}", milli / 1000, milli % 1000);
}

// Whether the newest witnessed entry is in the log that the policy knows, and
// about this VM.
absl::StatusOr<Proof> CheckProof(const v1::GetTrustResponse& trust,
                                 const Uuid& vm, const TrustArgs& args) {
  if (!trust.has_newest()) {
    return Proof{.good = true, .text = "no entry is witnessed yet", .type = ""};
  }
  const v1::ProvenRecord& newest = trust.newest();
  const Bytes bytes = ToBytes(newest.record());
  ASSIGN_OR_RETURN(const ledger::Record record, ledger::ParseRecord(bytes));
  ASSIGN_OR_RETURN(const ledger::Entry entry, ledger::ParseEntry(record.entry));
  Proof proof{.type = fmt::format("{} by {}, record {}, {}",
                                  ledger::TypeName(entry.body), entry.Writer(),
                                  newest.index(), Time(record.time_unix_ms))};
  if (args.policy.empty()) {
    proof.good = true;
    proof.text = "not checked: give --policy";
    return proof;
  }
  ASSIGN_OR_RETURN_WITH(const Bytes file,
                        ReadFile(args.policy, tlog::kMaxPolicySize),
                        args.policy);
  ASSIGN_OR_RETURN_WITH(const tlog::WitnessPolicy witnesses,
                        tlog::WitnessPolicy::Parse(AsText(file)), args.policy);
  ASSIGN_OR_RETURN(const std::vector<ledger::VmLink> links,
                   ledger::VmLinks(entry.body));
  bool about = false;
  for (const ledger::VmLink& link : links) {
    about = about || link.vm == vm;
  }
  std::vector<Bytes> path;
  for (const std::string& hash : newest.inclusion_path()) {
    path.push_back(ToBytes(hash));
  }
  // The log's own signature says no time; cosignatures do.
  const int64_t not_before =
      witnesses.threshold() == 0
          ? 0
          : SystemClock().Now().time_since_epoch().count() / 1'000 -
                int64_t{args.max_age};
  const auto accepted = ledger::VerifyIncluded(
      newest.checkpoint(), witnesses, newest.index(), bytes, path, not_before);
  if (!about || !accepted.ok()) {
    proof.text = about ? "FALSE: " + std::string(accepted.status().message())
                       : "FALSE: the entry is about another VM";
    return proof;
  }
  proof.good = true;
  proof.text = fmt::format(
      "in the log, by a checkpoint of {} records{}; {}",
      accepted->checkpoint.size,
      trust.unwitnessed_ledger() ? " that nobody cosigned" : "",
      ToBytes(trust.newest_hash()) == entry.hash ? "the node knows none newer"
                                                 : "newer ones wait for it");
  return proof;
}

void Print(const v1::GetTrustResponse& trust, const Proof& proof,
           std::ostream& out) {
  const auto line = [&out](std::string_view label, const std::string& text) {
    out << fmt::format("{:<12}{}\n", label, text);
  };
  line("score", fmt::format("{} ({}, rules {})", Points(trust.score_milli()),
                            Printable(trust.band()), trust.rules_version()));
  line("as of", Time(trust.time_unix_ms()));
  line("made of",
       fmt::format("{} passes, {} failures, {} silences; {} from what is "
                   "witnessed, {} results are not yet",
                   trust.passes(), trust.fails(), trust.silences(),
                   Points(trust.witnessed_milli()), trust.unwitnessed()));
  line("owner", Printable(trust.owner()));
  line("home", trust.home().empty() ? "none" : Printable(trust.home()));
  line(
      "state",
      fmt::format("{}{}", trust.running() ? "running" : "not running",
                  trust.host_compromised() ? ", its host is compromised" : ""));
  if (trust.unwitnessed_ledger()) {
    line("ledger", "unwitnessed: nobody's cosignature is asked for");
  }
  if (!proof.type.empty()) {
    line("newest", Printable(proof.type));
  }
  line("proof", proof.text);
}

absl::StatusOr<int> Trust(const TrustArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN_WITH(const Uuid vm, ParseUuid(args.vm), "vm");
  ASSIGN_OR_RETURN(LedgerClient client, LedgerClient::Open(args.connection));
  ASSIGN_OR_RETURN(const v1::GetTrustResponse trust, client.GetTrust(vm));
  ASSIGN_OR_RETURN(const Proof proof, CheckProof(trust, vm, args));
  if (args.json) {
    out << Json(trust) << "\n";
  } else {
    Print(trust, proof, out);
  }
  return proof.good ? kExitGood : kExitNotTrustworthy;
}

}  // namespace

int RunTrust(const TrustArgs& args, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<int> code = Trust(args, out);
  if (!code.ok()) {
    err << fmt::format("vmattest: {}: {}\n",
                       absl::StatusCodeToString(code.status().code()),
                       std::string(code.status().message()));
    return ExitCodeOf(code.status());
  }
  return *code;
}

}  // namespace vmattest::cli
