#include "daemon/setup.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "attestor/journal.h"
#include "base/file.h"
#include "fmt/format.h"
#include "ipc/program_path.h"
#include "process/state_dir.h"
#include "signing/log_folder.h"

namespace vmattest::daemon {
namespace {

namespace fs = std::filesystem;

using config::DaemonConfig;

constexpr size_t kMaxPem = 64u << 10;
constexpr char kGuestfsWorker[] = "vmattest-guestfs-worker";

std::string Hostname() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

std::string ToText(config::PostQuantum mode) {
  switch (mode) {
    case config::PostQuantum::kOff:
      return "off";
    case config::PostQuantum::kPreferred:
      return "preferred";
    case config::PostQuantum::kRequired:
      return "required";
  }
  return "preferred";
}

// Whoever cannot change users runs its workers as itself: they are confined
// all the same.
absl::StatusOr<std::string> WorkerUser(const std::string& name) {
  if (geteuid() != 0 || name.empty()) {
    return std::string();
  }
  errno = 0;
  if (getpwnam(name.c_str()) == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("processes.worker_user: there is no user '{}'; "
                    "systemd-sysusers makes it from vmattest.sysusers, or name "
                    "another one that owns nothing",
                    name));
  }
  return name;
}

absl::Status MakeFolder(const fs::path& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, path.string());
  }
  return absl::OkStatus();
}

}  // namespace

fs::path SignerFolder(const DaemonConfig& config) {
  return config.state_dir / "signer";
}

fs::path EventLogFolder(const DaemonConfig& config) {
  return SignerFolder(config) / "eventlog";
}

absl::StatusOr<signing::SignerSetup> MakeSignerSetup(
    const DaemonConfig& config) {
  signing::SignerSetup setup;
  setup.tcti = config.tcti;
  setup.pcrs = config.pcrs;
  setup.pcr_bank = config.pcr_bank;
  setup.log_pcr = config.log_pcr;
  setup.persistent_handle_base = config.persistent_handle_base;
  setup.log_index = config.log_index;
  setup.counter_index = config.counter_index;
  setup.state_dir = SignerFolder(config).string();
  setup.pin_file = (config.state_dir / "tpm-pin.json").string();
  setup.hostname = Hostname();
  setup.max_pending = config.max_pending_seals;
  setup.post_quantum = ToText(config.signing.post_quantum);
  setup.ml_dsa = config.signing.ml_dsa;
  setup.module = config.signing.module;
  setup.rotate_days = config.signing.rotate_days;
  setup.overlap_days = config.signing.overlap_days;
  setup.log_level = config.log_level;
  RETURN_IF_ERROR(MakeFolder(setup.state_dir, 0700));
  ASSIGN_OR_RETURN_WITH(
      setup.key_auth,
      process::LoadKeyAuth(config.key_auth_file, config.create_key_auth),
      "tpm.key_auth_file");
  if (config.owner_auth_file) {
    ASSIGN_OR_RETURN_WITH(setup.owner_auth,
                          process::LoadAuthValue(*config.owner_auth_file),
                          "tpm.owner_auth_file");
  }
  if (config.endorsement_auth_file) {
    ASSIGN_OR_RETURN_WITH(setup.endorsement_auth,
                          process::LoadAuthValue(*config.endorsement_auth_file),
                          "tpm.endorsement_auth_file");
  }
  if (config.signing.seal_authority) {
    ASSIGN_OR_RETURN_WITH(const Bytes pem,
                          ReadFile(*config.signing.seal_authority, kMaxPem),
                          "signing.seal_authority");
    setup.seal_authority_pem = AsText(pem);
  }
  return setup;
}

namespace {

// Optional: without the program its disks' leaves say so.
void SetUpGuestfs(const config::ProcessesConfig& processes,
                  WorkerSetup& setup) {
  inspection::GuestfsOptions& reader = setup.inspector.guestfs;
  if (!processes.guestfs) {
    reader.why_not = "libguestfs is turned off";
    return;
  }
  absl::StatusOr<fs::path> program =
      ipc::FindProgram(processes.guestfs_worker, kGuestfsWorker);
  if (!program.ok() && !processes.worker.empty()) {
    program = processes.worker.parent_path() / kGuestfsWorker;
  }
  std::error_code error;
  if (!program.ok() ||
      (processes.guestfs_worker.empty() && !fs::exists(*program, error))) {
    return;
  }
  const std::chrono::seconds limit(processes.guestfs_seconds);
  reader.limit = limit;
  reader.start_limit =
      std::min<std::chrono::milliseconds>(reader.start_limit, reader.limit / 3);
  reader.force_tcg = processes.guestfs_tcg;
  setup.guestfs = inspection::ForGuestfs(setup.disks, limit);
  setup.guestfs.program = program->string();
  const fs::path scratch = processes.scratch_dir / "guestfs";
  fs::remove_all(scratch, error);  // what a killed daemon left
  setup.guestfs.launcher->scratch_dir = scratch.string();
  setup.guestfs.launcher->appliance = processes.guestfs_appliance.string();
}

}  // namespace

absl::StatusOr<WorkerSetup> MakeWorkerSetup(const DaemonConfig& config) {
  const config::ProcessesConfig& processes = config.processes;
  ASSIGN_OR_RETURN(const std::string user, WorkerUser(processes.worker_user));
  WorkerSetup setup;
  ASSIGN_OR_RETURN_WITH(const fs::path worker,
                        ipc::FindProgram(processes.worker, "vmattest-worker"),
                        "processes.worker");
  ASSIGN_OR_RETURN_WITH(const fs::path header_worker,
                        ipc::FindProgram(processes.worker.empty()
                                             ? fs::path()
                                             : processes.worker.parent_path() /
                                                   "vmattest-header-worker",
                                         "vmattest-header-worker"),
                        "processes.worker");
  setup.disks.program = worker.string();
  setup.disks.user = user;
  setup.disks.max_workers = processes.max_workers;
  setup.disks.memory_bytes = uint64_t{processes.worker_memory_mib} << 20;
  setup.disks.cpu_time = std::chrono::seconds(processes.worker_seconds);
  setup.headers.program = header_worker.string();
  setup.headers.user = user;
  setup.headers = inspection::ForHeaders(std::move(setup.headers));
  setup.inspector.limit = std::chrono::seconds(processes.worker_seconds);
  setup.inspector.server.user = user;
  setup.inspector.server.socket_dir =
      (config.admin_socket.parent_path() / "images").string();
  SetUpGuestfs(processes, setup);
  return setup;
}

uint64_t JournaledBefore(const config::DaemonConfig& config,
                         inventory::VmStore& store) {
  signing::DiskLogFolder folder(EventLogFolder(config));
  const absl::StatusOr<std::vector<std::string>> names = folder.List();
  if (names.ok()) {
    for (auto name = names->rbegin(); name != names->rend(); ++name) {
      const absl::StatusOr<Bytes> records = folder.Read(*name);
      const uint64_t last =
          records.ok() ? attestor::LastJournaled(*records) : 0;
      if (last != 0) {
        return last;
      }
    }
  }
  return store.LastSequence().value_or(0);
}

absl::Status MakeScratch(const config::DaemonConfig& config) {
  std::error_code error;
  fs::create_directories(config.processes.scratch_dir, error);
  if (!error) {
    fs::permissions(config.processes.scratch_dir, fs::perms(0711), error);
  }
  return error
             ? ErrnoStatus(error.value(), config.processes.scratch_dir.string())
             : absl::OkStatus();
}

}  // namespace vmattest::daemon
