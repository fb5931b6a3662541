#include "cli/commands.h"

#include <memory>
#include <string>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/attest_command.h"
#include "cli/call_command.h"
#include "cli/connection.h"
#include "cli/exit_code.h"
#include "cli/explain_command.h"
#include "cli/export_command.h"
#include "cli/host_identity_command.h"
#include "cli/inventory_commands.h"
#include "cli/measure_command.h"
#include "cli/print.h"
#include "cli/verify_command.h"

namespace vmattest::cli {
namespace {

using Run = std::function<int()>;

// Adds a command whose arguments live as long as the parser's callbacks do.
template <class Args>
struct Command {
  CLI::App* app;
  std::shared_ptr<Args> args = std::make_shared<Args>();

  Command(CLI::App& parent, const char* name, const char* what, Run* run,
          std::function<int(const Args&)> function)
      : app(parent.add_subcommand(name, what)) {
    app->callback([run, function = std::move(function), args = args] {
      *run = [function, args] { return function(*args); };
    });
  }
};

void AddConnection(CLI::App& app, ConnectionArgs& args) {
  const char* group = "Where the daemon is";
  app.add_option("--socket", args.socket, "Unix socket")
      ->capture_default_str()
      ->envname("VMATTEST_SOCKET")
      ->group(group);
  app.add_option("--address", args.address,
                 "HOST:PORT instead, with mutual TLS")
      ->group(group);
  app.add_option("--cert", args.certificate, "PEM certificate of this client")
      ->group(group);
  app.add_option("--key", args.private_key, "its PEM key")->group(group);
  app.add_option("--ca", args.authority,
                 "PEM authorities that vouch for the daemon")
      ->group(group);
  app.add_option_function<int>(
         "--timeout",
         [&args](int seconds) { args.timeout = std::chrono::seconds(seconds); },
         "seconds that a call may take")
      ->check(CLI::PositiveNumber)
      ->group(group);
}

void AddAttest(CLI::App& app, Run* run) {
  Command<AttestArgs> command(
      app, "attest", "Evidence about a VM's configuration, from the daemon",
      run, [](const AttestArgs& args) { return RunAttest(args); });
  AttestArgs& args = *command.args;
  command.app->add_option("--vm", args.vm, "UUID or name")->required();
  command.app->add_option("--nonce", args.nonce,
                          "16 to 64 bytes in hex; else random, and printed");
  command.app->add_option("--hash", args.algorithm,
                          "sha256, sha384, sha512, sha3-256, blake3");
  command.app->add_option(
      "--content", args.content,
      "which files are read: full, chain (all but writable top layers), none");
  command.app->add_flag("--fresh", args.fresh, "do not use the digest cache");
  command.app->add_option("--out", args.out, "file for the evidence");
  command.app->add_flag("--json", args.json, "print JSON");
  AddConnection(*command.app, args.connection);
}

void AddHostIdentity(CLI::App& app, Run* run) {
  Command<HostIdentityArgs> command(
      app, "host-identity",
      "The host's TPM keys, as a folder of trust anchors holds them", run,
      [](const HostIdentityArgs& args) { return RunHostIdentity(args); });
  command.app->add_option("--out", command.args->out, "file for the JSON");
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

void AddVerify(CLI::App& app, Run* run) {
  Command<VerifyArgs> command(
      app, "verify", "Check evidence offline", run,
      [](const VerifyArgs& args) { return RunVerify(args); });
  VerifyArgs& args = *command.args;
  command.app->add_option("file", args.file, "evidence")->required();
  command.app
      ->add_option("--anchors", args.anchors,
                   "folder of host identities that are trusted")
      ->required();
  command.app->add_option("--nonce", args.nonce,
                          "hex; the evidence must hold it");
  command.app->add_option("--expect", args.expect,
                          "expected configuration: evidence, the output of "
                          "measure --json, or a root in hex");
  command.app->add_option("--require", args.require,
                          "signature algorithm that must be there too");
  command.app->add_option_function<int>(
      "--max-age",
      [&args](int seconds) { args.max_age = std::chrono::seconds(seconds); },
      "seconds since the statement");
  command.app->add_option("--vm", args.vm, "UUID that it must be about");
  command.app->add_flag("--fresh", args.fresh,
                        "refuse digests from the daemon's cache");
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
  command.app->add_option("--content", args.content, "full, chain or none")
      ->capture_default_str();
  command.app
      ->add_option("--hash", args.algorithm,
                   "sha256, sha384, sha512, sha3-256, blake3")
      ->capture_default_str();
  command.app->add_flag("--json", args.json, "print JSON");
  command.app->add_flag("--quiet", args.quiet, "no progress, no warnings");
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
  AddVerify(app, run);
  AddExplain(app, run);
  AddExport(app, run);
  AddHostIdentity(app, run);
  AddInventory(app, run);
  AddCall(app, run);
  AddVersion(app, run);
}

}  // namespace vmattest::cli
