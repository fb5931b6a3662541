#include <string.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include "signing/remote/remote_signer.h"
#include "signing/remote/signer_codec.h"

namespace vmattest::signing {
namespace {

constexpr std::chrono::seconds kSetupTime{5};
// How its log lines look, and what tells tpm2-tss to be quiet or not.
constexpr const char* kInherited[] = {"JOURNAL_STREAM", "TSS2_LOG"};

absl::StatusOr<SignerLink> Spawn(const std::string& program,
                                 const SignerSetup& setup) {
  ipc::ChildOptions child;
  child.program = program;
  child.arguments = {std::filesystem::path(program).filename().string()};
  for (const char* name : kInherited) {
    if (const char* value = std::getenv(name); value != nullptr) {
      child.environment.push_back(std::string(name) + "=" + value);
    }
  }
  ASSIGN_OR_RETURN(ipc::ChildProcess::Spawned spawned,
                   ipc::ChildProcess::Spawn(child));
  SignerLink link;
  link.channel = std::make_shared<ipc::Channel>(std::move(spawned.channel),
                                                kMaxSignerMessage);
  link.process.emplace(std::move(spawned.process));
  const SecretBytes secret = EncodeSetup(setup);
  ipc::Message message{ToBytes(secret.Reveal(SecretAccess())), {}};
  const absl::Status sent = link.channel->Send(
      message, std::chrono::steady_clock::now() + kSetupTime);
  explicit_bzero(message.bytes.data(), message.bytes.size());
  RETURN_IF_ERROR_WITH(sent, program);
  return link;
}

}  // namespace

SignerConnector SpawnSigner(std::string program, SignerSetup setup) {
  auto kept = std::make_shared<const SignerSetup>(std::move(setup));
  return [program = std::move(program), kept] { return Spawn(program, *kept); };
}

}  // namespace vmattest::signing
