#include "cli/reference_commands.h"

#include <string>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/key_command.h"
#include "cli/reference_command.h"

namespace vmattest::cli {
namespace {

void AddKey(CLI::App& app, Run* run) {
  CLI::App* key = app.add_subcommand(
      "key", "Keys of people who sign references and other documents");
  key->require_subcommand(1);
  Command<KeyGenerateArgs> generate(
      *key, "generate",
      "Make a key: FILE, and FILE.pub for who must believe it", run,
      [](const KeyGenerateArgs& args) { return RunKeyGenerate(args); });
  generate.app->add_option("--name", generate.args->name, "as alice@ops")
      ->required();
  generate.app->add_option("--out", generate.args->out, "private key file")
      ->required();
  generate.app
      ->add_option("--ml-dsa", generate.args->level,
                   "65 or 87 beside ECDSA P-256, or none")
      ->capture_default_str();
  generate.app->add_flag("--json", generate.args->json, "print JSON");

  Command<KeyShowArgs> show(
      *key, "show", "Name, id and algorithms of a key file", run,
      [](const KeyShowArgs& args) { return RunKeyShow(args); });
  show.app->add_option("file", show.args->file, "public or private key")
      ->required();
  show.app->add_flag("--json", show.args->json, "print JSON");

  Command<KeyPublicArgs> half(
      *key, "public", "The public half of a key file, for who must believe it",
      run, [](const KeyPublicArgs& args) { return RunKeyPublic(args); });
  half.app->add_option("file", half.args->file, "private or public key")
      ->required();
  half.app->add_option("--out", half.args->out, "instead of standard output");
}

void AddWriting(CLI::App& reference, Run* run) {
  Command<ReferenceNewArgs> make(
      reference, "new", "A YAML file to begin with", run,
      [](const ReferenceNewArgs& args) { return RunReferenceNew(args); });
  make.app->add_option("--name", make.args->name, "of the reference")
      ->required();
  make.app
      ->add_option("--vm", make.args->vms, "UUID, repeatable; * is every VM")
      ->required();
  make.app->add_option("--out", make.args->out, "file; else printed");

  Command<ReferenceLearnArgs> learn(
      reference, "learn", "YAML of what evidence says, to be read and signed",
      run,
      [](const ReferenceLearnArgs& args) { return RunReferenceLearn(args); });
  learn.app->add_option("file", learn.args->file, "evidence")->required();
  learn.app
      ->add_option("--anchors", learn.args->anchors,
                   "folder of host identities that are trusted")
      ->required();
  learn.app->add_option("--name", learn.args->name, "of the reference")
      ->required();
  learn.app->add_flag("--rules-only", learn.args->rules_only,
                      "without the root, which forbids every change of rules");
  learn.app->add_option("--out", learn.args->out, "file; else printed");

  Command<ReferenceCheckArgs> check(
      reference, "check", "Whether a YAML file is a reference", run,
      [](const ReferenceCheckArgs& args) { return RunReferenceCheck(args); });
  check.app->add_option("file", check.args->file, "YAML")->required();
  check.app->add_flag("--json", check.args->json, "print JSON");

  Command<ReferenceSignArgs> sign(
      reference, "sign", "Approve a YAML file: make a document of it", run,
      [](const ReferenceSignArgs& args) { return RunReferenceSign(args); });
  sign.app->add_option("file", sign.args->file, "YAML")->required();
  sign.app->add_option("--key", sign.args->key, "private key file")->required();
  sign.app->add_option("--out", sign.args->out, "document")->required();
  sign.app
      ->add_option("--days", sign.args->days,
                   "valid from now on, unless the file says")
      ->capture_default_str();
}

void AddReading(CLI::App& reference, Run* run) {
  Command<ReferenceVerifyArgs> verify(
      reference, "verify", "Who signed a document, and whether it is valid now",
      run,
      [](const ReferenceVerifyArgs& args) { return RunReferenceVerify(args); });
  verify.app->add_option("file", verify.args->file, "document")->required();
  verify.app
      ->add_option("--approvers", verify.args->approvers,
                   "folder of public keys, *.pub")
      ->required();
  verify.app->add_flag("--json", verify.args->json, "print JSON");

  Command<ReferenceShowArgs> show(
      reference, "show", "A document as YAML, signatures unchecked", run,
      [](const ReferenceShowArgs& args) { return RunReferenceShow(args); });
  show.app->add_option("file", show.args->file, "document")->required();
  show.app->add_flag("--json", show.args->json, "print JSON");

  Command<ReferenceSimulateArgs> simulate(
      reference, "simulate", "What a reference would change for evidence", run,
      [](const ReferenceSimulateArgs& args) {
        return RunReferenceSimulate(args);
      });
  ReferenceSimulateArgs& args = *simulate.args;
  simulate.app->add_option("files", args.files, "recorded evidence")
      ->required();
  simulate.app->add_option("--proposed", args.proposed, "YAML")->required();
  simulate.app->add_option("--active", args.active,
                           "document that is in force; repeatable");
  simulate.app->add_option("--approvers", args.approvers,
                           "folder of public keys that signed these");
  simulate.app
      ->add_option("--anchors", args.anchors,
                   "folder of host identities that are trusted")
      ->required();
  simulate.app->add_flag("--json", args.json, "print JSON");
}

}  // namespace

void AddReferenceCommands(CLI::App& app, Run* run) {
  AddKey(app, run);
  CLI::App* reference = app.add_subcommand(
      "reference", "Reference values: what configurations are approved");
  reference->require_subcommand(1);
  AddWriting(*reference, run);
  AddReading(*reference, run);
}

}  // namespace vmattest::cli
