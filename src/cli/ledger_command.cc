#include "cli/ledger_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "document/key_files.h"
#include "ledger/audit.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "tlog/policy.h"
#include "tlog/witness.h"

namespace vmattest::cli {
namespace {

// One line that is rewritten, at most once for each percent.
class PercentLine {
 public:
  PercentLine(std::ostream& err, std::string_view what, bool quiet)
      : err_(err), what_(what), quiet_(quiet) {}
  ~PercentLine() {
    if (shown_ >= 0) {
      err_ << '\n';
    }
  }
  PercentLine(const PercentLine&) = delete;
  PercentLine& operator=(const PercentLine&) = delete;

  void Show(uint64_t done, uint64_t of) {
    const int percent = of == 0 ? 100 : static_cast<int>(done * 100 / of);
    if (!quiet_ && percent != shown_) {
      shown_ = percent;
      err_ << fmt::format("\r{}: {:3} % of {} records", what_, percent, of)
           << std::flush;
    }
  }

 private:
  std::ostream& err_;
  const std::string what_;
  const bool quiet_;
  int shown_ = -1;
};

int Failed(const absl::Status& status, std::ostream& err) {
  err << fmt::format("vmattest: {}: {}\n",
                     absl::StatusCodeToString(status.code()),
                     std::string(status.message()));
  return ExitCodeOf(status);
}

absl::StatusOr<std::string> Text(const std::string& path, size_t most) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, most));
  return std::string(AsText(bytes));
}

absl::StatusOr<tlog::WitnessPolicy> Policy(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, Text(path, tlog::kMaxPolicySize));
  return tlog::WitnessPolicy::Parse(text);
}

nlohmann::json ToJson(const ledger::AuditReport& report) {
  nlohmann::json json = {{"clean", report.clean()},
                         {"origin", report.origin},
                         {"size", report.size},
                         {"root", ToBase64(report.root)},
                         {"checked", report.checked},
                         {"unwitnessed", report.unwitnessed},
                         {"witnessed_unix_s", report.witnessed_unix_s},
                         {"state_root", ToHex(report.state_root)},
                         {"records_by_type", report.types},
                         {"compromised_hosts", report.compromised_hosts},
                         {"vms", nlohmann::json::array()},
                         {"findings", nlohmann::json::array()}};
  for (const ledger::AuditReport::Vm& vm : report.vms) {
    json["vms"].push_back({{"uuid", vm.uuid},
                           {"owner", Printable(vm.owner)},
                           {"home", Printable(vm.home)},
                           {"score_milli", vm.milli},
                           {"band", vm.band},
                           {"passes", vm.passes},
                           {"fails", vm.fails},
                           {"silences", vm.silences}});
  }
  if (report.scores) {
    json["scores"] = {{"compared", report.scores->compared},
                      {"not_compared", report.scores->not_compared},
                      {"why", Printable(report.scores->why)}};
  }
  for (const ledger::Finding& finding : report.findings) {
    json["findings"].push_back(
        {{"element", finding.element},
         {"code", finding.reason.code},
         {"at", Printable(finding.reason.element)},
         {"expected", Printable(finding.reason.expected)},
         {"found", Printable(finding.reason.found)}});
  }
  return json;
}

void Print(const ledger::AuditReport& report, std::ostream& out) {
  out << fmt::format("{}: {} of {} records are good\n", report.origin,
                     report.checked, report.size);
  if (report.unwitnessed) {
    out << "unwitnessed: the policy asks for nobody's cosignature\n";
  }
  for (const ledger::AuditReport::Vm& vm : report.vms) {
    out << fmt::format(
        "{}  {}.{:03}  {:8} {} passes, {} failures, {} silent, "
        "on {}\n",
        vm.uuid, vm.milli / trust::kPoint, vm.milli % trust::kPoint, vm.band,
        vm.passes, vm.fails, vm.silences,
        vm.home.empty() ? "no host" : Printable(vm.home));
  }
  if (report.scores) {
    out << fmt::format("scores of {} VMs compared with the node's\n",
                       report.scores->compared);
  }
  if (report.scores && report.scores->not_compared > 0) {
    out << fmt::format("scores of {} VMs not compared: {}\n",
                       report.scores->not_compared,
                       Printable(report.scores->why));
  }
  for (const std::string& host : report.compromised_hosts) {
    out << fmt::format("host {} is compromised\n", Printable(host));
  }
  for (const ledger::Finding& finding : report.findings) {
    out << fmt::format("NOT GOOD: {}: {} at {}", finding.element,
                       finding.reason.code, Printable(finding.reason.element));
    if (!finding.reason.expected.empty()) {
      out << ": expected " << Printable(finding.reason.expected);
    }
    if (!finding.reason.found.empty()) {
      out << ": found " << Printable(finding.reason.found);
    }
    out << '\n';
  }
}

absl::StatusOr<ledger::AuditReport> Audit(const LedgerAuditArgs& args,
                                          ledger::AuditSource& source,
                                          std::ostream& err) {
  ASSIGN_OR_RETURN_WITH(const tlog::WitnessPolicy policy, Policy(args.policy),
                        args.policy);
  if (policy.logs().empty()) {
    return absl::InvalidArgumentError("the policy names no log");
  }
  PercentLine line(err, "auditing", args.quiet || args.json);
  ledger::AuditOptions options{
      .log = {.origin = policy.logs().front().name},
      .witnesses = policy,
      .now_unix_ms = SystemClock().Now().time_since_epoch().count(),
      .threads = std::max<size_t>(1, std::thread::hardware_concurrency()),
      .progress = [&line](uint64_t done, uint64_t of) { line.Show(done, of); }};
  ASSIGN_OR_RETURN(options.log.authorities,
                   document::LoadPublicKeys(args.authorities));
  ASSIGN_OR_RETURN(options.log.owners, document::LoadKeysIfAny(args.owners));
  if (args.known) {
    ASSIGN_OR_RETURN(options.known_checkpoint,
                     Text(*args.known, tlog::kMaxNoteSize));
  }
  return ledger::Audit(source, options);
}

// How many records the folder has then.
absl::StatusOr<uint64_t> Export(const LedgerExportArgs& args,
                                const std::string& note,
                                const ledger::ReadRecords& read,
                                std::ostream& err) {
  PercentLine line(err, "exporting", args.quiet || args.json);
  RETURN_IF_ERROR(ledger::ExportLog(
      read, note, args.folder,
      [&line](uint64_t done, uint64_t of) { line.Show(done, of); }));
  ASSIGN_OR_RETURN(const tlog::Note parsed, tlog::ParseNote(note));
  ASSIGN_OR_RETURN(const tlog::Checkpoint checkpoint,
                   tlog::ParseCheckpoint(parsed.text));
  return checkpoint.size;
}

absl::StatusOr<uint64_t> ExportFile(const LedgerExportArgs& args,
                                    std::ostream& err) {
  ASSIGN_OR_RETURN(const auto store, ledger::SqliteLogStore::Open(args.store));
  ASSIGN_OR_RETURN(const auto checkpoint, store->Checkpoint());
  if (!checkpoint) {
    return absl::FailedPreconditionError(
        "the ledger has no checkpoint yet: nothing is signed for");
  }
  return Export(
      args, checkpoint->note,
      [&store](uint64_t begin, size_t limit) {
        return store->Records(begin, limit);
      },
      err);
}

absl::StatusOr<uint64_t> ExportLive(const LedgerExportArgs& args,
                                    ledger::AuditSource& live,
                                    std::ostream& err) {
  ASSIGN_OR_RETURN(const std::string note, live.CheckpointNote());
  return Export(
      args, note,
      [&live](uint64_t begin, size_t limit) {
        return live.Records(begin, limit, UINT64_MAX);
      },
      err);
}

}  // namespace

int RunLedgerAudit(const LedgerAuditArgs& args, std::ostream& out,
                   std::ostream& err, ledger::AuditSource* live) {
  ledger::DirectorySource folder(args.folder);
  const absl::StatusOr<ledger::AuditReport> report =
      Audit(args, live == nullptr ? folder : *live, err);
  if (!report.ok()) {
    return Failed(report.status(), err);
  }
  if (report->fork && args.fork_out) {
    if (absl::Status written = WriteFileAtomic(
            *args.fork_out, AsBytes(tlog::EncodeForkProof(*report->fork)));
        !written.ok()) {
      return Failed(written, err);
    }
  }
  if (args.json) {
    out << ToJson(*report).dump(-1, ' ', false,
                                nlohmann::json::error_handler_t::replace)
        << '\n';
  } else {
    Print(*report, out);
  }
  return !report->clean()      ? kExitNotTrustworthy
         : !report->complete() ? kExitUndecided
                               : kExitGood;
}

int RunLedgerExport(const LedgerExportArgs& args, std::ostream& out,
                    std::ostream& err, ledger::AuditSource* live) {
  const absl::StatusOr<uint64_t> size =
      live == nullptr ? ExportFile(args, err) : ExportLive(args, *live, err);
  if (!size.ok()) {
    return Failed(size.status(), err);
  }
  if (args.json) {
    out << nlohmann::json{{"records", *size}, {"folder", args.folder}}.dump()
        << '\n';
  } else {
    out << fmt::format("{} records in {}\n", *size, args.folder);
  }
  return kExitGood;
}

int RunLedgerCheckProof(const LedgerCheckProofArgs& args, std::ostream& out,
                        std::ostream& err) {
  const absl::StatusOr<tlog::WitnessPolicy> policy = Policy(args.policy);
  const absl::StatusOr<std::string> file =
      policy.ok() ? Text(args.file, 2 * tlog::kMaxNoteSize)
                  : absl::StatusOr<std::string>(policy.status());
  if (!file.ok()) {
    return Failed(file.status(), err);
  }
  const absl::StatusOr<tlog::ForkProof> proof = tlog::ParseForkProof(*file);
  const absl::StatusOr<tlog::Fork> fork =
      proof.ok() ? tlog::CheckFork(*proof, policy->verifiers())
                 : absl::StatusOr<tlog::Fork>(proof.status());
  if (args.json) {
    nlohmann::json json = {{"proves_fork", fork.ok()}};
    if (fork.ok()) {
      json.update({{"origin", fork->origin},
                   {"size", fork->size},
                   {"key", fork->key},
                   {"first_root", ToBase64(fork->first_root)},
                   {"second_root", ToBase64(fork->second_root)},
                   {"later_size", fork->later_size}});
    } else {
      json["why"] = std::string(fork.status().message());
    }
    out << json.dump() << '\n';
  } else if (fork.ok()) {
    out << fmt::format(
        "{} told two stories of {} records: {} and {}{}\nboth signed by {}\n",
        fork->origin, fork->size, ToBase64(fork->first_root),
        ToBase64(fork->second_root),
        fork->later_size == fork->size
            ? ""
            : fmt::format(", as its tree of {} has them", fork->later_size),
        fork->key);
  } else {
    out << fmt::format("no proof: {}\n", std::string(fork.status().message()));
  }
  return fork.ok() ? kExitGood : kExitNotTrustworthy;
}

}  // namespace vmattest::cli
