#include "cli/verifier_commands.h"

#include <memory>
#include <string>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/baseline_command.h"
#include "cli/connection_options.h"
#include "cli/decisions_command.h"
#include "cli/hosts_command.h"
#include "cli/references_command.h"
#include "cli/result_keys_command.h"

namespace vmattest::cli {
namespace {

using Run = std::function<int()>;

void AddVerifier(CLI::App& app, VerifierArgs& args) {
  AddConnectionOptions(app,
                       {"verifier", "--verifier-socket",
                        "VMATTEST_VERIFIER_SOCKET", "--verifier"},
                       args);
}

// A command whose arguments live as long as the parser's callbacks do.
template <class Args>
std::pair<CLI::App*, Args*> AddOffline(CLI::App& parent, const char* name,
                                       const char* what, Run* run,
                                       int (*function)(const Args&,
                                                       std::ostream&)) {
  auto args = std::make_shared<Args>();
  CLI::App* app = parent.add_subcommand(name, what);
  app->callback([run, function, args] {
    *run = [function, args] { return function(*args, std::cout); };
  });
  app->add_flag("--json", args->json, "print JSON");
  return {app, args.get()};
}

// One that asks a verifier.
template <class Args>
std::pair<CLI::App*, Args*> AddOne(CLI::App& parent, const char* name,
                                   const char* what, Run* run,
                                   int (*function)(const Args&,
                                                   std::ostream&)) {
  auto [app, args] = AddOffline<Args>(parent, name, what, run, function);
  AddVerifier(*app, args->connection);
  return {app, args};
}

// What an operator decides about a host.
template <class Add>
void AddHostDecisions(const Add& add) {
  auto [approve, approve_args] =
      add(HostsArgs::Action::kApprove, "approve",
          "Believe a TPM that has no certificate (state pending)");
  approve
      ->add_option("ak-name", approve_args->ak_name,
                   "hex, as compared on the host itself")
      ->required();
  auto [revoke, revoke_args] =
      add(HostsArgs::Action::kRevoke, "revoke", "Believe a host no more");
  revoke->add_option("--reason", revoke_args->reason, "for the record");
  auto [rebind, rebind_args] =
      add(HostsArgs::Action::kAllowRebind, "allow-rebind",
          "Let a known host come back with another AK, once");
  rebind->add_option("ak-name", rebind_args->ak_name, "hex, the new one")
      ->required();
  rebind->add_option("--hours", rebind_args->hours, "how long, up to 720")
      ->capture_default_str();
}

void AddHosts(CLI::App& app, Run* run) {
  CLI::App* hosts = app.add_subcommand("hosts", "Hosts that a verifier knows");
  hosts->require_subcommand(1);
  const auto add = [&](HostsArgs::Action action, const char* name,
                       const char* what) {
    auto [command, args] = AddOne<HostsArgs>(*hosts, name, what, run, RunHosts);
    args->action = action;
    if (action != HostsArgs::Action::kList) {
      command->add_option("host-id", args->host_id, "of the host")->required();
    }
    return std::pair(command, args);
  };
  add(HostsArgs::Action::kList, "list", "Id, state and client of each");
  auto [show, show_args] =
      add(HostsArgs::Action::kShow, "show", "One host, its AK's name too");
  show->add_option("--record", show_args->out,
                   "file for the authority's signed record");
  AddHostDecisions(add);
}

void AddReferences(CLI::App& app, Run* run) {
  CLI::App* references =
      app.add_subcommand("references", "Reference values of a verifier");
  references->require_subcommand(1);
  const auto add = [&](ReferencesArgs::Action action, const char* name,
                       const char* what) {
    auto [command, args] =
        AddOne<ReferencesArgs>(*references, name, what, run, RunReferences);
    args->action = action;
    return std::pair(command, args);
  };
  auto [put, put_args] = add(ReferencesArgs::Action::kPut, "put",
                             "Activate a document that an approver signed");
  put->add_option("file", put_args->file, "document")->required();
  add(ReferencesArgs::Action::kList, "list", "The newest of each name");
  auto [get, get_args] =
      add(ReferencesArgs::Action::kGet, "get", "A document as it was signed");
  get->add_option("name", get_args->name, "of the reference")->required();
  get->add_option("--revision", get_args->revision, "else the newest");
  get->add_option("--out", get_args->out, "file; else printed");
  auto [learn, learn_args] =
      add(ReferencesArgs::Action::kLearn, "learn",
          "YAML of what a VM's newest genuine evidence says");
  learn->add_option("vm", learn_args->vm, "UUID")->required();
  learn->add_option("name", learn_args->name, "of the reference")->required();
  learn->add_option("--out", learn_args->out, "file; else printed");
  auto [simulate, simulate_args] =
      add(ReferencesArgs::Action::kSimulate, "simulate",
          "What recorded evidence would come to under another reference");
  simulate->add_option("file", simulate_args->file, "YAML or document")
      ->required();
  simulate->add_option("--most", simulate_args->most,
                       "pieces of evidence, newest first; else 1000");
}

// Those that work on files alone.
template <class Add>
void AddBaselineFiles(const Add& add) {
  using Action = BaselineArgs::Action;
  auto [set, set_args] =
      add(Action::kSet, "set", "Make a draft of a snapshot, for an approver");
  set->add_option("evidence", set_args->file, "of the snapshot")->required();
  set->add_option("pages", set_args->pages, "of the snapshot")->required();
  set->add_option("--name", set_args->name, "of the baseline")->required();
  set->add_option("--revision", set_args->revision, "higher with every change")
      ->required();
  set->add_option("--vm", set_args->vms, "UUID, or '*'; else the snapshot's");
  set->add_option("--without", set_args->without,
                  "a region that is not compared, such as a sample by nonce");
  set->add_flag("--accept-findings", set_args->accept_findings,
                "the snapshot's findings are known, and no alarm");
  set->add_option("--min-score", set_args->min_score,
                  "below it a snapshot is refused")
      ->capture_default_str();
  set->add_option("--out", set_args->out, "file for the draft")->required();
  auto [approve, approve_args] =
      add(Action::kApprove, "approve", "Sign a draft");
  approve->add_option("file", approve_args->file, "draft")->required();
  approve->add_option("--key", approve_args->key, "private key")->required();
  approve->add_option("--days", approve_args->days, "how long it is valid")
      ->capture_default_str();
  approve->add_option("--out", approve_args->out, "file for the document")
      ->required();
  auto [show, show_args] =
      add(Action::kShow, "show", "What a draft or document says");
  show->add_option("file", show_args->file, "draft or document")->required();
  show->add_option("--approvers", show_args->approvers,
                   "folder of public keys: then signatures are checked");
  auto [compare, compare_args] =
      add(Action::kCompare, "compare",
          "A snapshot with a baseline, offline; signatures are not checked");
  compare->add_option("file", compare_args->file, "draft or document")
      ->required();
  compare->add_option("pages", compare_args->pages, "of the baseline")
      ->required();
  compare->add_option("evidence", compare_args->evidence, "of the snapshot")
      ->required();
  compare
      ->add_option("snapshot-pages", compare_args->snapshot_pages,
                   "of the snapshot")
      ->required();
  CLI::Option* report = compare->add_option(
      "--guest-report", compare_args->guest_report,
      "what the guest said of itself, of `baseline guest-report`");
  CLI::Option* earlier = compare->add_option("--earlier", compare_args->earlier,
                                             "evidence before that report");
  CLI::Option* pages = compare->add_option(
      "--earlier-pages", compare_args->earlier_pages, "of it");
  compare
      ->add_option("--earlier-report", compare_args->earlier_report,
                   "that --earlier answered")
      ->needs(report);
  report->needs(earlier);
  earlier->needs(pages);
  pages->needs(report);
}

// For `baseline compare`, and for a verifier.
template <class Add>
void AddGuestReport(const Add& add) {
  auto [report, args] =
      add(BaselineArgs::Action::kReport, "guest-report",
          "What a guest says of itself as a message; prints the nonce for the "
          "snapshot to compare it with");
  report->add_option("--after", args->earlier, "evidence of a snapshot before")
      ->required();
  report->add_option("--modules", args->modules, "file as /proc/modules");
  report->add_option("--tasks", args->tasks, "file of `ps -e -o pid,comm`");
  report->add_option("--release", args->release, "of `uname -r`");
  report->add_option("--cmdline", args->cmdline, "file as /proc/cmdline");
  report->add_option("--out", args->out, "file for the report")->required();
}

void AddBaselines(CLI::App& app, Run* run) {
  using Action = BaselineArgs::Action;
  CLI::App* baseline =
      app.add_subcommand("baseline", "What VMs' memory should hold");
  baseline->require_subcommand(1);
  const auto add = [&](Action action, const char* name, const char* what) {
    auto [command, args] =
        AddOne<BaselineArgs>(*baseline, name, what, run, RunBaseline);
    args->action = action;
    return std::pair(command, args);
  };
  const auto add_offline = [&](Action action, const char* name,
                               const char* what) {
    auto [command, args] =
        AddOffline<BaselineArgs>(*baseline, name, what, run, RunBaseline);
    args->action = action;
    return std::pair(command, args);
  };
  AddBaselineFiles(add_offline);
  AddGuestReport(add_offline);
  auto [import, import_args] =
      add(Action::kImport, "import", "Activate a document that was approved");
  import->add_option("file", import_args->file, "document")->required();
  import->add_option("pages", import_args->pages, "that go with it")
      ->required();
  add(Action::kList, "list", "The newest of each name");
  auto [out, out_args] =
      add(Action::kExport, "export", "A document as it was signed");
  out->add_option("name", out_args->name, "of the baseline")->required();
  out->add_option("--revision", out_args->revision, "else the newest");
  out->add_option("--out", out_args->out, "file for the document")->required();
  out->add_option("--pages", out_args->out_pages, "file for its pages");
}

void AddOrders(CLI::App& app, Run* run) {
  CLI::App* orders =
      app.add_subcommand("orders", "Break-glass orders on their way to a host");
  orders->require_subcommand(1);
  auto [put, args] = AddOne<ReferencesArgs>(
      *orders, "put", "Have the verifier hand a signed order to its host", run,
      RunReferences);
  args->action = ReferencesArgs::Action::kPutOrder;
  put->add_option("file", args->file, "of `break-glass`")->required();
}

void AddAppraise(CLI::App& app, Run* run) {
  auto [appraise, args] = AddOne<AppraiseArgs>(
      app, "appraise", "Have a verifier judge evidence", run, RunAppraise);
  appraise->add_option(
      "file", args->file,
      "evidence; without, the verifier asks the host of the VM in --vm");
  appraise->add_option("--nonce", args->nonce,
                       "hex; the evidence must hold it");
  appraise->add_option("--vm", args->vm, "UUID that it must be about");
  appraise->add_option("--out", args->out, "file for the result, a JWT");
  appraise->add_flag("--post-quantum", args->post_quantum,
                     "also a result signed with ML-DSA; --out gets that one");
}

void AddDecisions(CLI::App& app, Run* run) {
  CLI::App* decisions =
      app.add_subcommand("decisions", "What a verifier has decided");
  decisions->require_subcommand(1);
  const auto add = [&](DecisionsArgs::Action action, const char* name,
                       const char* what) {
    auto [command, args] =
        AddOne<DecisionsArgs>(*decisions, name, what, run, RunDecisions);
    args->action = action;
    return std::pair(command, args);
  };
  auto [list, list_args] =
      add(DecisionsArgs::Action::kList, "list", "Newest first");
  list->add_option("--vm", list_args->vm, "UUID; else all");
  list->add_option("--before", list_args->before, "sequence number");
  list->add_option("--count", list_args->count, "at most so many");
  list->add_flag("--refused", list_args->refused_only, "refusals only");
  auto [show, show_args] =
      add(DecisionsArgs::Action::kShow, "show", "One, with its result");
  show->add_option("sequence", show_args->sequence, "its number")->required();
  show->add_option("--evidence", show_args->evidence,
                   "file for the evidence, while it is kept");
  auto [watch, watch_args] =
      add(DecisionsArgs::Action::kWatch, "watch",
          "Refusals, changed references and revocations as they come");
  watch->add_option("--after", watch_args->sequence,
                    "first what came after this sequence number");
  watch->add_option("--count", watch_args->count, "end after so many");
}

void AddResultKeys(CLI::App& app, Run* run) {
  CLI::App* keys = app.add_subcommand(
      "result-keys", "What a verifier signs results with, and its exchange");
  keys->require_subcommand(1);
  const auto add = [&](const char* name, const char* step, const char* what) {
    auto [command, args] =
        AddOne<ResultKeysArgs>(*keys, name, what, run, RunResultKeys);
    args->step = step;
    command->add_option("--out", args->out,
                        "file for all of them, a JWK set for relying parties");
  };
  add("list", "", "Next, active and old ones");
  add("prepare", "prepare", "Make and publish the next ones");
  add("activate", "activate",
      "Sign with the next ones; only once relying parties have them");
  add("retire", "retire", "Publish the old ones no more");
}

}  // namespace

void AddVerifierCommands(CLI::App& app, Run* run) {
  AddHosts(app, run);
  AddReferences(app, run);
  AddBaselines(app, run);
  AddOrders(app, run);
  AddAppraise(app, run);
  AddDecisions(app, run);
  AddResultKeys(app, run);
}

}  // namespace vmattest::cli
