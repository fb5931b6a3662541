#include "cli/trust_commands.h"

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/connection_options.h"
#include "cli/trust_command.h"

namespace vmattest::cli {
namespace {

void AddConnection(CLI::App& app, ConnectionArgs& args) {
  AddConnectionOptions(
      app, {"daemon", "--socket", "VMATTEST_SOCKET", "--address"}, args);
}

template <class Args>
void AddKey(CLI::App& app, Args& args) {
  app.add_option("--signing-key", args.key,
                 "private key file, of the Trust Authority or an owner")
      ->required();
  app.add_option("--log", args.log,
                 "the ledger's origin; needed while it has no record");
}

}  // namespace

void AddTrustCommands(CLI::App& app, Run* run) {
  Command<TrustArgs> trust(
      app, "trust", "A VM's trust score, its derivation and its proof", run,
      [](const TrustArgs& args) { return RunTrust(args); });
  trust.app->add_option("vm", trust.args->vm, "UUID")->required();
  trust.app->add_option("--policy", trust.args->policy,
                        "tlog-policy file that the proof is checked with");
  trust.app
      ->add_option("--max-age", trust.args->max_age,
                   "seconds, of the quorum's cosignatures")
      ->capture_default_str();
  trust.app->add_flag("--json", trust.args->json, "print JSON");
  AddConnection(*trust.app, trust.args->connection);

  CLI::App& ledger = *app.get_subcommand("ledger");
  Command<LedgerRegisterArgs> registered(
      ledger, "register", "Register a VM, or give it another home", run,
      [](const LedgerRegisterArgs& args) { return RunLedgerRegister(args); });
  registered.app->add_option("vm", registered.args->vm, "UUID")->required();
  registered.app->add_option("--owner", registered.args->owner, "of the VM")
      ->required();
  registered.app->add_option("--home", registered.args->home,
                             "host id, or - for none; the Trust Authority's");
  registered.app->add_option("--ek", registered.args->ek,
                             "hex: EK fingerprint of its vTPM; no other VM may "
                             "have it");
  registered.app->add_option("--disk-lineage", registered.args->lineage,
                             "name of its disks' origin; the same");
  AddKey(*registered.app, *registered.args);
  AddConnection(*registered.app, registered.args->connection);

  Command<LedgerAuthoriseArgs> authorise(
      ledger, "authorise",
      "Let a host write, or another key of it, after its TPM's evidence for "
      "that key was checked",
      run,
      [](const LedgerAuthoriseArgs& args) { return RunLedgerAuthorise(args); });
  authorise.app
      ->add_option("evidence", authorise.args->evidence,
                   "host-key.evidence of that host")
      ->required();
  authorise.app
      ->add_option("--anchors", authorise.args->anchors,
                   "folder of host identities")
      ->required();
  authorise.app
      ->add_option("--days", authorise.args->days,
                   "how long the key holds; 0: until another takes its place")
      ->capture_default_str();
  authorise.app
      ->add_option("--max-age", authorise.args->max_age_hours,
                   "hours, of the evidence")
      ->capture_default_str();
  authorise.app->add_option("--witness", authorise.args->witness_vkey,
                            "vkey, if the host cosigns");
  AddKey(*authorise.app, *authorise.args);
  AddConnection(*authorise.app, authorise.args->connection);

  Command<LedgerPolicyArgs> policy(
      ledger, "policy", "Rules of the score, from the next entry on", run,
      [](const LedgerPolicyArgs& args) { return RunLedgerPolicy(args); });
  policy.app
      ->add_option("--rules", policy.args->rules,
                   "shipped version: 1, or 2, which credits at most once in "
                   "five minutes")
      ->check(CLI::Range(1, 2))
      ->required();
  policy.app->add_option(
      "--weight", policy.args->weights,
      "REASON=POINTS that such a failure takes; \"silence\": "
      "nobody reports; may be repeated");
  AddKey(*policy.app, *policy.args);
  AddConnection(*policy.app, policy.args->connection);

  Command<LedgerWriteArgs> write(
      ledger, "write", "Sign an entry and send it (docs/ledger.md)", run,
      [](const LedgerWriteArgs& args) { return RunLedgerWrite(args); });
  write.app->add_option("file", write.args->file, "JSON: what the entry says")
      ->required();
  AddKey(*write.app, *write.args);
  AddConnection(*write.app, write.args->connection);
}

}  // namespace vmattest::cli
