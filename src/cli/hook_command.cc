#include "cli/hook_command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "fmt/format.h"

namespace vmattest::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxProgram = 256u << 20;
constexpr size_t kMaxConfig = 1u << 20;
constexpr char kFormat[] = "vmattest/hook/v1";
constexpr mode_t kProgramMode = 0755;
constexpr std::chrono::milliseconds kLookAgain{100};

struct Places {
  fs::path trust;    // what the daemon left
  fs::path config;   // the hook's copy of it
  fs::path hook;     // the program, where libvirt calls it
  fs::path program;  // the program, where it was installed
};

absl::StatusOr<Places> Find(const HookArgs& args) {
  Places places;
  places.trust = fs::path(args.state_dir) / "gate" / "hook.json";
  places.config = fs::path(args.hooks_dir) / "vmattest-hook.json";
  places.hook = fs::path(args.hooks_dir) / "qemu.d" / "vmattest";
  if (!args.program.empty()) {
    places.program = args.program;
    return places;
  }
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& folder :
       {here, here.parent_path() / "libexec" / "vmattest"}) {
    places.program = folder / "vmattest-hook";
    if (fs::exists(places.program, error)) {
      return places;
    }
  }
  return absl::NotFoundError("there is no vmattest-hook beside this program");
}

absl::StatusOr<json> ReadJson(const fs::path& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxConfig));
  json file = json::parse(AsText(bytes), nullptr, false);
  if (!file.is_object() || file.value("format", "") != kFormat) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not of format {}", path.string(), kFormat));
  }
  return file;
}

absl::Status MakeFolder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error)) {
    return absl::OkStatus();
  }
  fs::create_directories(folder, error);
  if (!error) {
    fs::permissions(folder, fs::perms(0755), error);
  }
  return error ? ErrnoStatus(error.value(), folder.string()) : absl::OkStatus();
}

// A daemon that was just started has not reached its TPM yet, and leaves its
// keys once it has.
absl::StatusOr<json> AwaitTrust(const HookArgs& args, const fs::path& file) {
  const auto until = std::chrono::steady_clock::now() + args.wait;
  absl::StatusOr<json> trust = ReadJson(file);
  while ((trust.ok() ? !trust->contains("host_id")
                     : absl::IsNotFound(trust.status())) &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(kLookAgain);
    trust = ReadJson(file);
  }
  return trust;
}

// Our own settings survive a second install; keys are always the daemon's.
absl::StatusOr<json> ConfigFor(const HookArgs& args, const Places& places) {
  absl::StatusOr<json> trust = AwaitTrust(args, places.trust);
  if (absl::IsNotFound(trust.status())) {
    return absl::NotFoundError(
        fmt::format("{} is missing: start vmattestd with gate.enabled first",
                    places.trust.string()));
  }
  RETURN_IF_ERROR(trust.status());
  if (const absl::StatusOr<json> before = ReadJson(places.config);
      before.ok()) {
    for (const char* kept : {"when_unavailable", "accept"}) {
      if (before->contains(kept)) {
        (*trust)[kept] = (*before)[kept];
      }
    }
  }
  if (!args.when_unavailable.empty()) {
    (*trust)["when_unavailable"] = args.when_unavailable;
  }
  return trust;
}

// Then it stays as it is: of another one libvirtd would have to be told.
bool IsInPlace(const fs::path& hook, const Bytes& program) {
  struct stat status {};
  if (lstat(hook.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_uid != 0 || (status.st_mode & 07777) != kProgramMode) {
    return false;
  }
  const absl::StatusOr<Bytes> there = ReadFile(hook, kMaxProgram);
  return there.ok() && *there == program;
}

absl::Status Install(const HookArgs& args, const Places& places,
                     std::ostream& out) {
  ASSIGN_OR_RETURN(const json config, ConfigFor(args, places));
  ASSIGN_OR_RETURN(const Bytes program, ReadFile(places.program, kMaxProgram));
  RETURN_IF_ERROR(MakeFolder(args.hooks_dir));
  RETURN_IF_ERROR(MakeFolder(places.hook.parent_path()));
  const std::string text =
      config.dump(2, ' ', true, json::error_handler_t::replace) + "\n";
  RETURN_IF_ERROR(WriteFileAtomic(places.config, AsBytes(text), 0600));
  const bool in_place = IsInPlace(places.hook, program);
  if (in_place) {
    out << fmt::format("{} is in place; whom it believes was written anew\n",
                       places.hook.string());
  } else {
    RETURN_IF_ERROR(WriteFileAtomic(places.hook, program, kProgramMode));
    out << fmt::format("installed {}\n", places.hook.string());
  }
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(places.hook.parent_path(), error)) {
    if (entry.path() != places.hook) {
      out << fmt::format("beside it libvirt also runs {}\n",
                         entry.path().string());
    }
  }
  if (!config.contains("host_id")) {
    out << "the host's id is not known yet: install again once the TPM was "
           "reached\n";
  }
  if (!in_place) {
    out << "libvirtd looks for hooks only when it starts: restart it, or send "
           "it SIGHUP\n";
  }
  return absl::OkStatus();
}

std::vector<std::string> Faults(const Places& places) {
  std::vector<std::string> faults;
  struct stat status {};
  if (stat(places.hook.c_str(), &status) != 0) {
    faults.push_back(fmt::format("{} is missing", places.hook.string()));
  } else if ((status.st_mode & S_IXUSR) == 0 || status.st_uid != 0 ||
             (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    faults.push_back(fmt::format("{} is not executable, or not root's alone",
                                 places.hook.string()));
  } else {
    const absl::StatusOr<Bytes> there = ReadFile(places.hook, kMaxProgram);
    const absl::StatusOr<Bytes> ours = ReadFile(places.program, kMaxProgram);
    if (!there.ok() || !ours.ok() || *there != *ours) {
      faults.push_back(
          fmt::format("{} is of another build", places.hook.string()));
    }
  }
  const absl::StatusOr<json> config = ReadJson(places.config);
  const absl::StatusOr<json> trust = ReadJson(places.trust);
  if (!config.ok()) {
    faults.emplace_back(config.status().message());
  } else if (!trust.ok()) {
    faults.emplace_back(trust.status().message());
  } else {
    for (const char* key :
         {"gate_key", "verifier_keys", "socket", "host_id", "deadline_ms"}) {
      if (config->value(key, json()) != trust->value(key, json())) {
        faults.push_back(fmt::format("{}: {} is not the daemon's",
                                     places.config.string(), key));
      }
    }
  }
  return faults;
}

absl::Status Uninstall(const Places& places, std::ostream& out) {
  std::error_code error;
  fs::remove(places.hook, error);
  if (!error) {
    fs::remove(places.config, error);
  }
  if (error) {
    return ErrnoStatus(error.value(), places.hook.string());
  }
  out << fmt::format(
      "removed {}; libvirtd calls it until it is restarted, and "
      "refuses starts meanwhile\n",
      places.hook.string());
  return absl::OkStatus();
}

}  // namespace

int RunHook(const HookArgs& args, std::ostream& out) {
  const absl::StatusOr<Places> places = Find(args);
  absl::Status status = places.status();
  if (status.ok() && args.action == HookArgs::Action::kStatus) {
    const std::vector<std::string> faults = Faults(*places);
    for (const std::string& fault : faults) {
      out << fault << "\n";
    }
    out << (faults.empty() ? "installed; whether libvirt calls it: `vmattest "
                             "status`, component gate\n"
                           : "run `vmattest hook install`\n");
    return faults.empty() ? kExitGood : kExitNotTrustworthy;
  }
  if (status.ok()) {
    status = args.action == HookArgs::Action::kInstall
                 ? Install(args, *places, out)
                 : Uninstall(*places, out);
  }
  if (!status.ok()) {
    fmt::print(stderr, "vmattest hook: {}\n", std::string(status.message()));
  }
  return ExitCodeOf(status);
}

}  // namespace vmattest::cli
