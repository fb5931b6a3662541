#include "cli/snapshot_commands.h"

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "CLI/Validators.hpp"
#include "cli/connection_options.h"
#include "cli/policy_command.h"
#include "cli/snapshot_command.h"
#include "cli/snapshot_show.h"

namespace vmattest::cli {
namespace {

struct CheckArgs {
  PolicyCheckArgs offline;
  SnapshotArgs daemon;  // used with a VM
};

void AddConnection(CLI::App& app, ConnectionArgs& args) {
  AddConnectionOptions(
      app, {"daemon", "--socket", "VMATTEST_SOCKET", "--address"}, args);
}

void AddCapture(CLI::App& snapshot, Run* run) {
  Command<SnapshotArgs> command(
      snapshot, "capture", "Measure a VM's memory now; evidence", run,
      [](const SnapshotArgs& args) { return RunSnapshotCapture(args); });
  SnapshotArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "UUID or name")->required();
  command.app
      ->add_option("--policy", args.policy, "ID or ID@VERSION (`policy list`)")
      ->required();
  CLI::Option* const nonce = command.app->add_option(
      "--nonce", args.nonce, "16 to 64 bytes in hex; else random, and printed");
  command.app
      ->add_option("--guest-report", args.guest_report,
                   "what the guest says of itself, for the verifier to compare "
                   "(`baseline guest-report`); gives the nonce")
      ->excludes(nonce);
  command.app->add_option("--out", args.out, "file for the evidence");
  command.app->add_flag("--json", args.json, "print JSON");
  AddConnection(*command.app, args.connection);
}

void AddGet(CLI::App& snapshot, Run* run) {
  Command<SnapshotArgs> command(
      snapshot, "get", "A snapshot that the daemon kept", run,
      [](const SnapshotArgs& args) { return RunSnapshotGet(args); });
  SnapshotArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "UUID or name")->required();
  command.app->add_option("--id", args.id, "as `snapshot list` shows it")
      ->required();
  command.app->add_option("--out", args.out, "file for the evidence");
  command.app->add_option("--pages", args.pages,
                          "file for the digests of all pages");
  AddConnection(*command.app, args.connection);
}

void AddShow(CLI::App& snapshot, Run* run) {
  Command<SnapshotShowArgs> command(
      snapshot, "show", "What a snapshot says, and the parts it has; offline",
      run, [](const SnapshotShowArgs& args) { return RunSnapshotShow(args); });
  SnapshotShowArgs& args = *command.args;
  command.app->add_option("file", args.file, "evidence")->required();
  CLI::Option* const pages = command.app->add_option(
      "--pages", args.pages, "its page digests, checked against it");
  command.app->add_flag("--records", args.records, "print the records too")
      ->needs(pages);
}

void AddPolicy(CLI::App& app, Run* run) {
  CLI::App* policy =
      app.add_subcommand("policy", "What of a guest's memory is measured");
  policy->require_subcommand(1);
  Command<CheckArgs> check(*policy, "check",
                           "Explain a policy and what it costs, offline", run,
                           [](const CheckArgs& args) {
                             if (args.daemon.vm.empty()) {
                               return RunPolicyCheck(args.offline);
                             }
                             SnapshotArgs daemon = args.daemon;
                             daemon.policy = args.offline.file;
                             return RunPolicyEstimate(daemon);
                           });
  check.app->add_option("file", check.args->offline.file, "YAML")->required();
  check.app->add_option("--memory", check.args->offline.memory_mib,
                        "MiB of the VM that the estimate is for");
  check.app->add_option("--vm", check.args->daemon.vm,
                        "a running VM: asks the daemon what is in it");
  AddConnection(*check.app, check.args->daemon.connection);
  Command<SnapshotArgs> list(
      *policy, "list", "The policies that the daemon has", run,
      [](const SnapshotArgs& args) { return RunPolicyList(args); });
  AddConnection(*list.app, list.args->connection);
}

}  // namespace

void AddSnapshotCommands(CLI::App& app, Run* run) {
  CLI::App* snapshot =
      app.add_subcommand("snapshot", "What is in a running VM's memory");
  snapshot->require_subcommand(1);
  AddCapture(*snapshot, run);
  Command<SnapshotArgs> list(
      *snapshot, "list", "The snapshots that the daemon kept", run,
      [](const SnapshotArgs& args) { return RunSnapshotList(args); });
  list.app->add_option("--vm", list.args->vm, "UUID or name")->required();
  AddConnection(*list.app, list.args->connection);
  AddGet(*snapshot, run);
  AddShow(*snapshot, run);
  AddPolicy(app, run);
}

}  // namespace vmattest::cli
