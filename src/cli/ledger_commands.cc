#include "cli/ledger_commands.h"

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/connection_options.h"
#include "cli/exit_code.h"
#include "cli/ledger_command.h"
#include "cli/ledger_source.h"
#include "fmt/format.h"

namespace vmattest::cli {
namespace {

// A command that reads files, or a running node.
template <class Args>
struct WithNode : Args {
  VerifierArgs node;
};

void AddNodeOptions(CLI::App& app, VerifierArgs& args) {
  AddConnectionOptions(
      app, {"ledger node", "--socket", "VMATTEST_VERIFIER_SOCKET", "--server"},
      args);
}

template <class Args>
int RunLive(const WithNode<Args>& args,
            int (*run)(const Args&, std::ostream&, std::ostream&,
                       ledger::AuditSource*)) {
  const auto source = LiveLedgerSource::Open(args.node);
  if (!source.ok()) {
    std::cerr << fmt::format("vmattest: {}\n",
                             std::string(source.status().message()));
    return ExitCodeOf(source.status());
  }
  return run(args, std::cout, std::cerr, source->get());
}

}  // namespace

void AddLedgerCommands(CLI::App& app, Run* run) {
  CLI::App* ledger = app.add_subcommand(
      "ledger", "The log that trust scores follow from: copied, checked");
  ledger->require_subcommand(1);

  Command<WithNode<LedgerAuditArgs>> audit(
      *ledger, "audit", "Replay a log from record 0: signatures, rules, scores",
      run, [](const WithNode<LedgerAuditArgs>& args) {
        return args.folder.empty()
                   ? RunLive<LedgerAuditArgs>(args, &RunLedgerAudit)
                   : RunLedgerAudit(args);
      });
  audit.app->add_option("folder", audit.args->folder,
                        "of `ledger export`; without it a running node's");
  AddNodeOptions(*audit.app, audit.args->node);
  audit.app
      ->add_option("--policy", audit.args->policy,
                   "tlog-policy file: the log's key, witnesses, quorum")
      ->required();
  audit.app
      ->add_option("--authorities", audit.args->authorities,
                   "folder of the Trust Authority's public keys")
      ->required();
  audit.app->add_option("--owners", audit.args->owners,
                        "folder of public keys of owners of VMs");
  audit.app->add_option("--known", audit.args->known,
                        "checkpoint that was kept: must be a prefix");
  audit.app->add_option("--fork-out", audit.args->fork_out,
                        "file for the proof of a fork, if there is one");
  audit.app->add_flag("--json", audit.args->json, "print JSON");
  audit.app->add_flag("--quiet", audit.args->quiet, "no progress");

  Command<WithNode<LedgerExportArgs>> exported(
      *ledger, "export",
      "A log as a tlog-tiles folder; one from before is continued", run,
      [](const WithNode<LedgerExportArgs>& args) {
        return args.store.empty()
                   ? RunLive<LedgerExportArgs>(args, &RunLedgerExport)
                   : RunLedgerExport(args);
      });
  exported.app->add_option("--store", exported.args->store,
                           "SQLite file of a node that is not running, or a "
                           "copy; without it a running node's log");
  AddNodeOptions(*exported.app, exported.args->node);
  exported.app->add_option("--out", exported.args->folder, "folder")
      ->required();
  exported.app->add_flag("--json", exported.args->json, "print JSON");
  exported.app->add_flag("--quiet", exported.args->quiet, "no progress");

  Command<LedgerSignArgs> sign(
      *ledger, "sign",
      "Sign an entry of the Trust Authority's or an owner's (docs/ledger.md)",
      run, [](const LedgerSignArgs& args) { return RunLedgerSign(args); });
  sign.app->add_option("file", sign.args->file, "JSON: what the entry says")
      ->required();
  sign.app->add_option("--key", sign.args->key, "private key file")->required();
  sign.app->add_option("--log", sign.args->log, "origin of the ledger")
      ->required();
  sign.app
      ->add_option("--sequence", sign.args->sequence,
                   "one above the writer's (Ledger/GetWriter)")
      ->capture_default_str();
  sign.app->add_option("--previous", sign.args->previous,
                       "hex of the writer's last_hash, from sequence 2 on");
  sign.app->add_option("--out", sign.args->out, "file for the entry")
      ->required();

  Command<LedgerCheckProofArgs> proof(
      *ledger, "check-proof", "Whether a file proves that a log was forked",
      run, [](const LedgerCheckProofArgs& args) {
        return RunLedgerCheckProof(args);
      });
  proof.app->add_option("file", proof.args->file, "two notes")->required();
  proof.app
      ->add_option("--policy", proof.args->policy,
                   "tlog-policy file with the log's key")
      ->required();
  proof.app->add_flag("--json", proof.args->json, "print JSON");
}

}  // namespace vmattest::cli
