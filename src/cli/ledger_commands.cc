#include "cli/ledger_commands.h"

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/ledger_command.h"

namespace vmattest::cli {

void AddLedgerCommands(CLI::App& app, Run* run) {
  CLI::App* ledger = app.add_subcommand(
      "ledger", "The log that trust scores follow from, checked offline");
  ledger->require_subcommand(1);

  Command<LedgerAuditArgs> audit(
      *ledger, "audit",
      "Replay an exported log from record 0: signatures, rules, scores", run,
      [](const LedgerAuditArgs& args) { return RunLedgerAudit(args); });
  audit.app->add_option("folder", audit.args->folder, "of `ledger export`")
      ->required();
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

  Command<LedgerExportArgs> exported(
      *ledger, "export", "A ledger node's SQLite file as a tlog-tiles folder",
      run, [](const LedgerExportArgs& args) { return RunLedgerExport(args); });
  exported.app
      ->add_option("--store", exported.args->store,
                   "file, of a node that is not running, or a copy")
      ->required();
  exported.app->add_option("--out", exported.args->folder, "new folder")
      ->required();
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
