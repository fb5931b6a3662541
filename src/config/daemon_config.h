#ifndef VMATTEST_CONFIG_DAEMON_CONFIG_H_
#define VMATTEST_CONFIG_DAEMON_CONFIG_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/uuid.h"
#include "config/host_ledger_settings.h"
#include "config/layers.h"
#include "config/tcp_listener.h"
#include "config/verification_settings.h"
#include "vmattest/types/digest.h"

// vmattestd's configuration, checked. What each key means and its default:
// docs/configuration.md.

namespace vmattest::config {

enum class Content { kFull, kChain, kNone };
enum class Inside { kNone, kInventory, kFull };
enum class PostQuantum { kOff, kPreferred, kRequired };

struct SigningConfig {
  PostQuantum post_quantum = PostQuantum::kPreferred;
  std::string ml_dsa;  // "ml-dsa-65", "ml-dsa-87"
  std::string module;  // empty: the usual places
  std::optional<std::filesystem::path> seal_authority;
  uint32_t rotate_days = 0;
  uint32_t overlap_days = 0;
};

struct ProcessesConfig {
  std::filesystem::path signer;  // empty: beside this program
  std::filesystem::path worker;
  std::string worker_user;
  uint32_t worker_memory_mib = 0;
  uint32_t worker_seconds = 0;
  uint32_t max_workers = 0;
  std::filesystem::path scratch_dir;
  bool guestfs = true;
  std::filesystem::path guestfs_worker;     // empty: beside this program
  std::filesystem::path guestfs_appliance;  // empty: supermin's
  bool guestfs_tcg = false;                 // KVM is not tried
  uint32_t guestfs_seconds = 0;
};

struct VerifierClient {
  std::string address;  // host:port
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path ca;
  std::string server_name;  // empty: the address's host
};

enum class LaunchMode { kEnforce, kWarn, kLearn };

struct GateConfig {
  bool enabled = false;
  std::filesystem::path hook_socket;
  LaunchMode default_mode = LaunchMode::kEnforce;
  uint32_t deadline_ms = 0;
  std::filesystem::path approvers;
  std::optional<std::string> verifier;  // HOST:PORT; none: embedded
  std::vector<std::filesystem::path> verifier_keys;  // files; with `verifier`
  std::filesystem::path references;
  std::filesystem::path hooks_dir;
  bool pause_on_drift = true;
  bool strict_start = false;  // of every VM
  uint32_t threads = 0;
  uint32_t max_waiting = 0;
  std::filesystem::path hook_program;  // empty: beside this program
  // Where kernels, initrds and loaders must lie; empty: anywhere.
  std::vector<std::filesystem::path> store;
};

struct MemoryConfig {
  bool enabled = false;
  std::filesystem::path policies;
  uint32_t keep = 0;
  uint32_t threads = 0;
  uint32_t max_workers = 0;
  uint32_t worker_memory_mib = 0;
  uint32_t max_peek_mib = 0;
  uint32_t max_moment_mib = 0;
  std::filesystem::path modules;  // empty: there are none
  // Snapshots that guests ask for.
  struct GuestRequests {
    bool enabled = false;
    uint32_t min_interval_seconds = 0;
    std::vector<std::string> policies;  // ids; not empty if it is enabled
  };
  GuestRequests guest_requests;
};

// Immutable once loaded: hand it around as const.
struct DaemonConfig {
  std::filesystem::path state_dir;
  std::string log_level;

  std::filesystem::path admin_socket;
  std::optional<std::filesystem::path> read_socket;
  std::string read_group;  // empty: root's group
  std::optional<TcpListener> tcp;
  bool reflection = true;

  std::string libvirt_uri;

  std::string tcti;
  std::vector<uint32_t> pcrs;  // ascending
  uint32_t log_pcr = 0;
  uint16_t pcr_bank = 0;  // TPM_ALG_ID
  uint32_t persistent_handle_base = 0;
  std::filesystem::path key_auth_file;
  // A missing key_auth_file is made, not an error: it lies in the state folder.
  bool create_key_auth = false;
  std::optional<std::filesystem::path> owner_auth_file;
  std::optional<std::filesystem::path> endorsement_auth_file;
  std::optional<std::filesystem::path> boot_log;
  uint32_t log_index = 0;
  uint32_t counter_index = 0;

  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  Content content = Content::kChain;
  bool digest_cache = true;
  uint32_t hash_threads = 0;  // 0: one per core
  Inside inside = Inside::kNone;
  bool salt_all_vms = false;
  std::vector<Uuid> salted_vms;

  SigningConfig signing;
  ProcessesConfig processes;
  bool watch_kvm = true;
  std::filesystem::path libvirt_run_dir;
  std::optional<std::string> metrics_address;
  std::optional<VerifierClient> verifier;
  std::optional<VerificationSettings> verification;  // none: it serves none
  // The same, or what the gate's embedded verifier has without being served.
  VerificationSettings verifier_stack;
  GateConfig gate;
  MemoryConfig memory;
  std::optional<HostLedgerSettings> ledger;  // none: it writes to none

  uint32_t max_pending_seals = 0;
  uint32_t request_threads = 0;
  uint32_t max_queued_requests = 0;
  uint32_t max_watchers = 0;
  uint32_t watcher_queue = 0;
  uint32_t max_message_bytes = 0;
  uint32_t event_history = 0;
};

// Defaults, then `file`, then the *.yaml of `conf.d` beside it in the order of
// their names, then variables such as VMATTEST_TPM__TCTI. "${CREDENTIALS_
// DIRECTORY}" in paths of secrets is the folder of systemd's credentials.
//   NOT_FOUND, PERMISSION_DENIED: a file cannot be read.
//   INVALID_ARGUMENT: "file:LINE: key: what is wrong with it".
absl::StatusOr<DaemonConfig> LoadDaemonConfig(const std::filesystem::path& file,
                                              const Environment& environment);

// The same as text, after all merging, for --check-config.
absl::StatusOr<std::string> EffectiveConfig(const std::filesystem::path& file,
                                            const Environment& environment);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_DAEMON_CONFIG_H_
