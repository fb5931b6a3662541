#include "cli/commands.h"

#include <memory>
#include <string>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "CLI/Validators.hpp"
#include "cli/attest_command.h"
#include "cli/break_glass_command.h"
#include "cli/call_command.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/connection_options.h"
#include "cli/disclose_command.h"
#include "cli/eventlog_command.h"
#include "cli/eventlog_export_command.h"
#include "cli/exit_code.h"
#include "cli/explain_command.h"
#include "cli/export_command.h"
#include "cli/hook_command.h"
#include "cli/host_identity_command.h"
#include "cli/inventory_commands.h"
#include "cli/keys_command.h"
#include "cli/ledger_commands.h"
#include "cli/measure_command.h"
#include "cli/print.h"
#include "cli/reference_commands.h"
#include "cli/register_image_command.h"
#include "cli/seal_command.h"
#include "cli/snapshot_commands.h"
#include "cli/start_command.h"
#include "cli/trust_commands.h"
#include "cli/verifier_commands.h"
#include "cli/verify_command.h"

namespace vmattest::cli {
namespace {

void AddConnection(CLI::App& app, ConnectionArgs& args) {
  AddConnectionOptions(
      app, {"daemon", "--socket", "VMATTEST_SOCKET", "--address"}, args);
}

// How to measure, of AttestArgs and DiscloseArgs.
template <class Args>
void AddAsking(CLI::App& app, Args& args) {
  app.add_option("--nonce", args.nonce,
                 "16 to 64 bytes in hex; else random, and printed");
  app.add_option("--hash", args.algorithm,
                 "sha256, sha384, sha512, sha3-256, blake3");
  app.add_option(
      "--content", args.content,
      "which files are read: full, chain (all but writable top layers), none");
  app.add_option(
      "--inside", args.inside,
      "how far disks are looked into: none, inventory (packages, boot files),\n"
      "full (and the digest of all guest-visible bytes)");
  app.add_flag("--fresh", args.fresh, "do not use the digest cache");
}

void AddAttest(CLI::App& app, Run* run) {
  Command<AttestArgs> command(
      app, "attest", "Evidence about a VM's configuration, from the daemon",
      run, [](const AttestArgs& args) { return RunAttest(args); });
  AttestArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "UUID or name")->required();
  AddAsking(*command.app, args);
  command.app->add_flag("--omit-leaves", args.omit_leaves,
                        "of a VM with salted leaves: none of them");
  command.app->add_option("--out", args.out, "file for the evidence");
  command.app->add_flag("--json", args.json, "print JSON");
  AddConnection(*command.app, args.connection);
}

void AddDisclose(CLI::App& app, Run* run) {
  Command<DiscloseArgs> command(
      app, "disclose", "Single leaves of a VM's configuration, from the daemon",
      run, [](const DiscloseArgs& args) { return RunDisclose(args); });
  DiscloseArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "UUID or name")->required();
  command.app
      ->add_option("--leaf", args.leaves,
                   "path of a leaf, as memory/max; repeatable, up to 64")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddAsking(*command.app, args);
  command.app->add_option("--out", args.out, "file for the disclosure");
  command.app->add_flag("--json", args.json, "print JSON");
  AddConnection(*command.app, args.connection);
}

void AddHostIdentity(CLI::App& app, Run* run) {
  Command<HostIdentityArgs> command(
      app, "host-identity",
      "The host's TPM keys, as a folder of trust anchors holds them", run,
      [](const HostIdentityArgs& args) { return RunHostIdentity(args); });
  command.app->add_option("--out", command.args->out, "file for the JSON");
  command.app->add_flag("--id", command.args->only_id,
                        "the host's id alone, as `break-glass` takes it");
  AddConnection(*command.app, command.args->connection);
}

void AddInventory(CLI::App& app, Run* run) {
  Command<ListArgs> list(app, "list", "The VMs of the host", run,
                         [](const ListArgs& args) { return RunList(args); });
  list.app->add_flag("--json", list.args->json, "one JSON object a line");
  AddConnection(*list.app, list.args->connection);

  Command<WatchArgs> watch(
      app, "watch", "Lifecycle events and measurements as they come", run,
      [](const WatchArgs& args) { return RunWatch(args); });
  watch.app->add_option("--after", watch.args->after,
                        "first what came after this sequence number");
  watch.app->add_option("--vm", watch.args->vm, "UUID or name; else all");
  watch.app->add_option("--count", watch.args->count, "end after so many");
  watch.app->add_flag("--json", watch.args->json, "one JSON object a line");
  AddConnection(*watch.app, watch.args->connection);

  Command<StatusArgs> status(
      app, "status", "What the daemon is connected to and has done", run,
      [](const StatusArgs& args) { return RunStatus(args); });
  status.app->add_flag("--json", status.args->json, "print JSON");
  AddConnection(*status.app, status.args->connection);
}

void AddSealApprove(CLI::App& seal, Run* run) {
  Command<SealApproveCommandArgs> approve(
      seal, "approve", "Sign approvals of a boot with the authority's key", run,
      [](const SealApproveCommandArgs& args) { return RunSealApprove(args); });
  SealApproveCommandArgs& args = *approve.args;
  approve.app->add_option("--status", args.status,
                          "file that `seal status --json` printed");
  approve.app->add_flag("--current", args.current, "ask the daemon instead");
  approve.app
      ->add_option("--authority-key", args.authority_key,
                   "PEM file of the seal authority's private key")
      ->required();
  approve.app->add_option("--out", args.out, "file for the approvals")
      ->required();
  approve.app->add_option("--purpose", args.purposes,
                          "config, state, profile, liveness, ledger or "
                          "authorization; else all");
  approve.app->add_option("--pcr", args.pcrs,
                          "N=HEX: what the boot to come measures");
  approve.app->add_option("--counter-limit", args.counter_limit,
                          "good as long as the counter is not above; else as "
                          "the counter is");
  AddConnection(*approve.app, args.connection);
}

void AddSeal(CLI::App& app, Run* run) {
  CLI::App* seal = app.add_subcommand(
      "seal", "Which boots may unseal the host's post-quantum keys");
  seal->require_subcommand(1);
  Command<SealStatusArgs> status(
      *seal, "status", "Whether they are unsealed, and what this boot measured",
      run, [](const SealStatusArgs& args) { return RunSealStatus(args); });
  status.app->add_flag("--json", status.args->json, "print JSON");
  AddConnection(*status.app, status.args->connection);
  AddSealApprove(*seal, run);

  Command<SealInstallArgs> install(
      *seal, "install", "Give the host approvals", run,
      [](const SealInstallArgs& args) { return RunSealInstall(args); });
  install.app->add_option("files", install.args->files,
                          "that `seal approve` wrote");
  install.app->add_flag("--current-boot", install.args->current_boot,
                        "approve this boot with the host's own authority");
  install.app->add_flag("--revoke-older", install.args->revoke_older,
                        "and make void all that were made before");
  AddConnection(*install.app, install.args->connection);

  Command<SealRevokeArgs> revoke(
      *seal, "revoke", "Make void all approvals made before now", run,
      [](const SealRevokeArgs& args) { return RunSealRevoke(args); });
  AddConnection(*revoke.app, revoke.args->connection);
}

void AddCall(CLI::App& app, Run* run) {
  Command<CallArgs> command(
      app, "call", "Call any method of the daemon by name, with JSON", run,
      [](const CallArgs& args) { return RunCall(args); });
  CallArgs& args = *command.args;
  command.app
      ->add_option("method", args.method,
                   "SERVICE/METHOD; or list [SERVICE], or describe SYMBOL")
      ->required();
  command.app->add_option("argument", args.argument,
                          "the request as JSON; else an empty one");
  command.app->add_option("-H,--header", args.headers, "NAME: VALUE");
  AddConnection(*command.app, args.connection);
  command.app->footer(
      "As grpcurl does; that is a package of its own where the distribution\n"
      "has it, else https://github.com/fullstorydev/grpcurl/releases.");
}

void AddKeyAction(CLI::App& keys, Run* run, KeysArgs::Action action,
                  const char* name, const char* what) {
  Command<KeysArgs> command(keys, name, what, run,
                            [](const KeysArgs& args) { return RunKeys(args); });
  KeysArgs& args = *command.args;
  args.action = action;
  if (action == KeysArgs::Action::kRotate ||
      action == KeysArgs::Action::kRevoke) {
    command.app
        ->add_option("purpose", args.purpose,
                     "config, state, profile, liveness, ledger or "
                     "authorization; to rotate also all")
        ->required();
  }
  if (action == KeysArgs::Action::kRevoke) {
    command.app->add_option("epoch", args.epoch, "which one")->required();
  }
  if (action == KeysArgs::Action::kReEnroll) {
    command.app
        ->add_option("host-id", args.host_id,
                     "the old host id, to show that you mean it")
        ->required();
  }
  command.app->add_flag("--json", args.json, "print JSON");
  AddConnection(*command.app, args.connection);
}

void AddKeys(CLI::App& app, Run* run) {
  CLI::App* keys = app.add_subcommand("keys", "The host's purpose keys");
  keys->require_subcommand(1);
  AddKeyAction(*keys, run, KeysArgs::Action::kList, "list",
               "Purpose, epoch and state of every key");
  AddKeyAction(*keys, run, KeysArgs::Action::kRotate, "rotate",
               "Begin a new epoch of a purpose");
  AddKeyAction(*keys, run, KeysArgs::Action::kRevoke, "revoke",
               "End an epoch for good: its evidence is not believed any more");
  AddKeyAction(*keys, run, KeysArgs::Action::kReEnroll, "re-enroll",
               "After the TPM was cleared or replaced: make a new identity");
}

void AddBreakGlass(CLI::App& app, Run* run) {
  Command<BreakGlassArgs> command(
      app, "break-glass",
      "Sign an order that lets one VM start on one host, once", run,
      [](const BreakGlassArgs& args) { return RunBreakGlass(args); });
  BreakGlassArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "its UUID")->required();
  command.app->add_option("--host-id", args.host_id, "of the host")->required();
  command.app->add_option("--reason", args.reason, "for the log")->required();
  command.app->add_option("--minutes", args.minutes, "how long it is valid")
      ->capture_default_str();
  command.app->add_option("--key", args.key, "an approver's private key")
      ->required();
  command.app->add_option("--out", args.out, "the order")->required();
}

void AddHookAction(CLI::App& hook, Run* run, HookArgs::Action action,
                   const char* name, const char* what) {
  Command<HookArgs> command(hook, name, what, run,
                            [](const HookArgs& args) { return RunHook(args); });
  HookArgs& args = *command.args;
  args.action = action;
  command.app->add_option("--state-dir", args.state_dir, "the daemon's")
      ->capture_default_str();
  command.app->add_option("--hooks-dir", args.hooks_dir, "libvirt's")
      ->capture_default_str();
  command.app->add_option("--program", args.program,
                          "vmattest-hook; where it is otherwise: beside this");
  if (action == HookArgs::Action::kInstall) {
    command.app
        ->add_option("--when-unavailable", args.when_unavailable,
                     "what the hook does when the daemon cannot be reached: "
                     "deny (as at first) or allow")
        ->check(CLI::IsMember({"deny", "allow"}));
  }
}

void AddHook(CLI::App& app, Run* run) {
  CLI::App* hook = app.add_subcommand("hook", "The launch gate's libvirt hook");
  hook->require_subcommand(1);
  AddHookAction(*hook, run, HookArgs::Action::kInstall, "install",
                "Put it where libvirt calls it, with the daemon's keys");
  AddHookAction(*hook, run, HookArgs::Action::kStatus, "status",
                "Whether it is there and as it should be");
  AddHookAction(*hook, run, HookArgs::Action::kUninstall, "uninstall",
                "Take it away again");
}

void AddGate(CLI::App& app, Run* run) {
  CLI::App* gate = app.add_subcommand("gate", "The launch gate");
  gate->require_subcommand(1);
  Command<RegisterImageArgs> command(
      *gate, "register-image",
      "Say which file a VM was saved to, so that it may be restored from it",
      run,
      [](const RegisterImageArgs& args) { return RunRegisterImage(args); });
  RegisterImageArgs& args = *command.args;
  command.app->add_option("domain", args.domain, "its name or UUID")
      ->required();
  command.app->add_option("file", args.file, "as `virsh save` wrote it")
      ->required();
  command.app->add_option("--hook-socket", args.hook_socket, "the daemon's")
      ->capture_default_str();
  command.app->add_option("--timeout", args.timeout_seconds, "in seconds")
      ->capture_default_str();
}

void AddStart(CLI::App& app, Run* run) {
  Command<StartArgs> command(
      app, "start",
      "Start a VM paused, compare it with what was approved, let it run", run,
      [](const StartArgs& args) { return RunStart(args); });
  StartArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "UUID or name")->required();
  command.app->add_flag("--keep-paused", args.keep_paused,
                        "do not end what is not what was approved");
  command.app->add_flag("--json", args.json, "print JSON");
  AddConnection(*command.app, args.connection);
}

void AddVerify(CLI::App& app, Run* run) {
  Command<VerifyArgs> command(
      app, "verify", "Check evidence or a disclosure offline", run,
      [](const VerifyArgs& args) { return RunVerify(args); });
  VerifyArgs& args = *command.args;
  command.app->add_option("file", args.file, "evidence, or a disclosure")
      ->required();
  command.app
      ->add_option("--anchors", args.anchors,
                   "folder of host identities that are trusted")
      ->required();
  command.app->add_option("--nonce", args.nonce,
                          "hex; the evidence must hold it");
  CLI::Option* expect =
      command.app->add_option("--expect", args.expect,
                              "expected configuration: evidence, the output of "
                              "measure --json, or a root in hex");
  CLI::Option* approvers = command.app->add_option(
      "--approvers", args.approvers,
      "folder of public keys that may sign the reference");
  CLI::Option* reference = command.app->add_option(
      "--reference", args.reference,
      "signed reference document: says all that is demanded; what is not met\n"
      "comes with the smallest change that would");
  approvers->needs(reference);
  reference->needs(approvers)->excludes(expect);
  command.app->add_option("--require,--require-signature", args.require,
                          "signature algorithm that must be there and good "
                          "beside the quote, as ml-dsa-65; repeatable");
  command.app->add_option_function<int>(
      "--max-age",
      [&args](int seconds) { args.max_age = std::chrono::seconds(seconds); },
      "seconds since the statement");
  command.app->add_option("--vm", args.vm, "UUID that it must be about");
  command.app->add_flag("--fresh", args.fresh,
                        "refuse digests from the daemon's cache");
  command.app->add_flag("--refuse-unavailable", args.refuse_unavailable,
                        "refuse leaves that only say why there is no content");
  command.app->add_option("--max-unmanaged", args.max_unmanaged,
                          "VMs that may run beside libvirt on that host");
  command.app->add_option("--subset", args.subsets,
                          "of memory: ID@VERSION[=HEX] of an approved policy");
  command.app->add_option("--min-consistency", args.min_consistency,
                          "of memory: live, paused, point-in-time");
  command.app->add_option("--pages", args.pages,
                          "of memory: the snapshot's page digests, checked");
  command.app->add_option("--kernel-build-id", args.kernel_build_id,
                          "of memory: in hex, of the kernel that must run");
  command.app->add_option("--code-hash", args.code_hash,
                          "of memory: in hex, of its code");
  command.app->add_option("--refuse-findings", args.refuse_findings,
                          "of memory: severity from which findings count");
  command.app->add_flag("--json", args.json, "print JSON");
}

void AddExplain(CLI::App& app, Run* run) {
  Command<ExplainArgs> command(
      app, "explain", "Name the leaves in which configurations differ", run,
      [](const ExplainArgs& args) { return RunExplain(args); });
  command.app->add_option("file", command.args->file, "evidence")->required();
  command.app
      ->add_option("reference", command.args->reference,
                   "what it is compared with, as --expect of verify")
      ->required();
  command.app->add_flag("--json", command.args->json, "print JSON");
}

void AddExport(CLI::App& app, Run* run) {
  Command<ExportArgs> command(
      app, "export", "Write evidence as the files of tpm2-tools and OpenSSL",
      run, [](const ExportArgs& args) { return RunExport(args); });
  command.app->add_option("file", command.args->file, "evidence")->required();
  command.app->add_option("folder", command.args->folder, "where to")
      ->required();
  command.app->add_option("--anchors", command.args->anchors,
                          "folder of host identities: the AK is written too");
}

void AddMeasure(CLI::App& app, Run* run) {
  Command<MeasureArgs> command(
      app, "measure", "Measure a domain XML file, without a daemon", run,
      [](const MeasureArgs& args) { return RunMeasure(args); });
  MeasureArgs& args = *command.args;
  command.app->add_option("--xml", args.xml_path, "file; - is standard input")
      ->required();
  command.app->add_option(
      "--defined-xml", args.defined_xml_path,
      "of a running domain: its stored definition, so that what libvirt\n"
      "assigned at its start is told from what was asked for");
  command.app->add_option(
      "--start-command", args.start_command_path,
      "of a definition with firmware='efi' and no loader: a file with the\n"
      "output of `virsh domxml-to-native qemu-argv --domain NAME`, which\n"
      "says what firmware libvirt would choose");
  command.app->add_option("--content", args.content, "full, chain or none")
      ->capture_default_str();
  command.app
      ->add_option("--inside", args.inside,
                   "look into disks: none, inventory (packages, boot files)\n"
                   "or full (and the digest of all guest-visible bytes)")
      ->capture_default_str();
  command.app->add_option("--worker", args.worker,
                          "path of vmattest-worker, which does that");
  command.app
      ->add_option("--hash", args.algorithm,
                   "sha256, sha384, sha512, sha3-256, blake3")
      ->capture_default_str();
  command.app->add_option(
      "--salt", args.salt_path,
      "file with the VM's salt, 32 bytes or hex (Admin/GetVmSalt)");
  command.app->add_flag("--json", args.json, "print JSON");
  command.app->add_flag("--quiet", args.quiet, "no progress, no warnings");
}

void AddEventLogVerify(CLI::App& log, Run* run) {
  Command<EventLogVerifyArgs> command(
      log, "verify", "Check a host event log offline", run,
      [](const EventLogVerifyArgs& args) { return RunEventLogVerify(args); });
  EventLogVerifyArgs& args = *command.args;
  command.app->add_option("file", args.file, "of `eventlog export`")
      ->required();
  command.app
      ->add_option("--anchors", args.anchors,
                   "folder of host identities that are trusted")
      ->required();
  command.app->add_option("--nonce", args.nonce,
                          "hex; the evidence must hold it");
  command.app->add_option("--require", args.require,
                          "signature algorithm that must be there too");
  command.app->add_option_function<int>(
      "--max-age",
      [&args](int seconds) { args.max_age = std::chrono::seconds(seconds); },
      "seconds since the statement");
  command.app
      ->add_option("--from-record", args.from_record,
                   "the log must be whole from this record on")
      ->capture_default_str();
  command.app->add_flag("--json", args.json, "print JSON");
}

void AddEventLog(CLI::App& app, Run* run) {
  CLI::App* log = app.add_subcommand(
      "eventlog", "The host's event log: what happened, and proof of it");
  log->require_subcommand(1);
  Command<EventLogExportArgs> exported(
      *log, "export", "Get it from the daemon, with evidence", run,
      [](const EventLogExportArgs& args) { return RunEventLogExport(args); });
  exported.app->add_option("--out", exported.args->out, "file");
  exported.app->add_option("--nonce", exported.args->nonce,
                           "16 to 64 bytes in hex; else random, and printed");
  exported.app->add_flag("--cel-json", exported.args->cel_json,
                         "the records alone, as TCG CEL-JSON");
  exported.app->add_flag("--cel", exported.args->cel,
                         "the records alone, as TCG CEL-TLV");
  AddConnection(*exported.app, exported.args->connection);

  Command<EventLogShowArgs> show(
      *log, "show", "Print the records of a file", run,
      [](const EventLogShowArgs& args) { return RunEventLogShow(args); });
  show.app
      ->add_option("file", show.args->file,
                   "of `eventlog export`, in any of its forms")
      ->required();
  show.app->add_flag("--json", show.args->json, "one JSON object a line");
  AddEventLogVerify(*log, run);

  Command<EventLogBootArgs> boot(
      *log, "boot", "Replay a firmware's measured-boot log", run,
      [](const EventLogBootArgs& args) { return RunEventLogBoot(args); });
  boot.app
      ->add_option("file", boot.args->file,
                   "binary_bios_measurements, CCEL, or of `eventlog export`")
      ->required();
  boot.app->add_option("--bank", boot.args->bank, "sha1, sha256, sha384...")
      ->capture_default_str();
  boot.app->add_flag("--json", boot.args->json, "print JSON");
}

void AddVersion(CLI::App& app, Run* run) {
  struct None {};
  const Command<None> command(app, "version", "Print the version", run,
                              [](const None&) {
                                PrintLine("vmattest " VMATTEST_VERSION);
                                return kExitGood;
                              });
}

}  // namespace

void AddCommands(CLI::App& app, Run* run) {
  AddMeasure(app, run);
  AddAttest(app, run);
  AddDisclose(app, run);
  AddVerify(app, run);
  AddReferenceCommands(app, run);
  AddLedgerCommands(app, run);
  AddTrustCommands(app, run);
  AddExplain(app, run);
  AddExport(app, run);
  AddHostIdentity(app, run);
  AddInventory(app, run);
  AddVerifierCommands(app, run);
  AddKeys(app, run);
  AddHook(app, run);
  AddGate(app, run);
  AddStart(app, run);
  AddBreakGlass(app, run);
  AddSeal(app, run);
  AddSnapshotCommands(app, run);
  AddEventLog(app, run);
  AddCall(app, run);
  AddVersion(app, run);
}

}  // namespace vmattest::cli
