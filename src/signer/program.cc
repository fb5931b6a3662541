#include "signer/program.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "crypto/ml_dsa.h"
#include "fmt/format.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "ipc/sandbox.h"
#include "signing/local_signer.h"
#include "signing/remote/signer_codec.h"
#include "signing/remote/signer_server.h"
#include "signing/remote/signer_setup.h"
#include "tpm/esys/esys_host_tpm.h"

namespace vmattest::signer {
namespace {

using signing::LocalSigner;
using signing::SignerServer;
using signing::SignerSetup;

constexpr int kGood = 0;
constexpr int kBroken = 1;
constexpr int kUsage = 2;
constexpr std::chrono::seconds kSetupTime{30};

int Complain(const absl::Status& status) {
  fmt::print(stderr, "vmattest-signer: {}\n", std::string(status.message()));
  return kBroken;
}

bool HasChannel() {
  struct stat info {};
  return fstat(ipc::kChannelFd, &info) == 0 && S_ISSOCK(info.st_mode);
}

absl::StatusOr<SignerSetup> ReceiveSetup(ipc::Channel& channel) {
  ASSIGN_OR_RETURN(
      ipc::Message message,
      channel.Receive(std::chrono::steady_clock::now() + kSetupTime));
  return signing::ParseSetup(SecretBytes(std::move(message.bytes)));
}

// With a limit in force, memory that is mapped later could not be locked, and
// so not be mapped.
void LockMemory() {
  rlimit limit{};
  const bool unlimited =
      getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
  if ((!unlimited && geteuid() != 0) ||
      mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    log::Warning("memory-not-locked",
                 {{"why",
                   "RLIMIT_MEMLOCK (LimitMEMLOCK=) is not infinity: "
                   "pages of the signer may be swapped out"}});
  }
}

// Root keeps its capabilities: the TPM may belong to another user.
absl::Status Lock() {
  if (geteuid() != 0) {
    RETURN_IF_ERROR(ipc::RenounceCapabilities());
  }
  return ipc::EnterSignerSandbox();
}

absl::StatusOr<signing::PqOptions> PqOptionsOf(const SignerSetup& setup) {
  signing::PqOptions options;
  if (setup.post_quantum == "off") {
    options.mode = signing::PqMode::kOff;
  } else if (setup.post_quantum == "required") {
    options.mode = signing::PqMode::kRequired;
  } else if (setup.post_quantum != "preferred") {
    return absl::InvalidArgumentError(
        fmt::format("post_quantum '{}' is no mode", setup.post_quantum));
  }
  if (setup.ml_dsa == "ml-dsa-87") {
    options.level = MlDsaLevel::k87;
  } else if (setup.ml_dsa != "ml-dsa-65") {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is no ML-DSA level", setup.ml_dsa));
  }
  options.module = setup.module;
  options.authority_pem = setup.seal_authority_pem;
  return options;
}

tpm::EsysHostTpmOptions TpmOptionsOf(SignerSetup& setup) {
  tpm::EsysHostTpmOptions options;
  options.tcti = setup.tcti;
  options.pcrs = setup.pcrs;
  options.pcr_bank = setup.pcr_bank;
  options.log_pcr = setup.log_pcr;
  options.persistent_handle_base = setup.persistent_handle_base;
  options.log_index = setup.log_index;
  options.counter_index = setup.counter_index;
  options.seal_counter_index = setup.counter_index + 1;
  options.key_auth = std::move(setup.key_auth);
  options.owner_auth = std::move(setup.owner_auth);
  options.endorsement_auth = std::move(setup.endorsement_auth);
  options.pin_file = setup.pin_file;
  options.hostname = setup.hostname;
  return options;
}

absl::StatusOr<LocalSigner::Options> SignerOptionsOf(const SignerSetup& setup) {
  LocalSigner::Options options;
  options.work.state_dir = setup.state_dir;
  options.work.log_pcr = static_cast<uint8_t>(setup.log_pcr);
  options.work.max_pending = setup.max_pending;
  ASSIGN_OR_RETURN(options.work.post_quantum, PqOptionsOf(setup));
  options.work.rotate_days = setup.rotate_days;
  options.work.overlap_days = setup.overlap_days;
  return options;
}

// Until the parent asks for the end, or is gone: then nothing is closed, and
// the log shows that nobody said goodbye.
absl::Status Serve(ipc::Channel& channel) {
  ASSIGN_OR_RETURN(SignerSetup setup, ReceiveSetup(channel));
  RETURN_IF_ERROR(log::Configure(setup.log_level));
  // The module is code, which nothing can map once the sandbox is closed. Not
  // having it is the signer's state, and said there.
  if (setup.post_quantum != "off") {
    (void)MlDsaProvider::Open(setup.module);
  }
  RETURN_IF_ERROR(Lock());
  LockMemory();
  ASSIGN_OR_RETURN(LocalSigner::Options options, SignerOptionsOf(setup));
  std::atomic<SignerServer*> server = nullptr;
  options.work.on_state = [&server](const signing::SignerState&) {
    if (SignerServer* told = server.load(); told != nullptr) {
      told->StateChanged();
    }
  };
  const SystemClock clock;
  tpm::EsysHostTpm tpm(TpmOptionsOf(setup));
  LocalSigner signer(tpm, clock, std::move(options));
  SignerServer serving(channel, signer, [&signer] { signer.Stop(); });
  server = &serving;
  serving.StateChanged();
  const absl::Status status = serving.Serve();
  if (!status.ok()) {
    _exit(absl::IsUnavailable(status) ? kGood : Complain(status));
  }
  server = nullptr;
  return status;
}

int Run() {
  std::signal(SIGPIPE, SIG_IGN);
  // Terminals and service managers tell whole process groups: the parent
  // decides when the log is closed.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(signal, SIG_IGN);
  }
  // Before secrets come.
  if (const absl::Status status = ipc::HideMemory(); !status.ok()) {
    return Complain(status);
  }
  ipc::Channel channel(UniqueFd(ipc::kChannelFd), signing::kMaxSignerMessage);
  try {
    const absl::Status status = Serve(channel);
    return status.ok() ? kGood : Complain(status);
  } catch (const std::exception& error) {
    return Complain(absl::InternalError(error.what()));
  }
}

}  // namespace

int RunSigner(int argc, char** argv) {
  const std::string_view word = argc == 2 ? argv[1] : "";
  if (word == "--version") {
    fmt::print("vmattest-signer {}\n", VMATTEST_VERSION);
    return kGood;
  }
  if (word == "--help") {
    fmt::print(
        "vmattest-signer: holds vmattestd's keys and the TPM in a process of "
        "their own.\nOnly vmattestd starts it, with a socket as descriptor "
        "{}.\n",
        ipc::kChannelFd);
    return kGood;
  }
  if (argc > 1 || !HasChannel()) {
    fmt::print(stderr, "vmattest-signer: only vmattestd starts this program\n");
    return kUsage;
  }
  return Run();
}

}  // namespace vmattest::signer
