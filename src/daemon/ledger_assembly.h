#ifndef VMATTEST_DAEMON_LEDGER_ASSEMBLY_H_
#define VMATTEST_DAEMON_LEDGER_ASSEMBLY_H_

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/executor.h"
#include "base/mutex.h"
#include "crypto/ec_private_key.h"
#include "daemon/ledger_host.h"
#include "daemon/ledger_key_evidence.h"
#include "daemon/ledger_mark.h"
#include "outbox/local_authority.h"
#include "outbox/outbox.h"
#include "rpc/client/grpc_ledger.h"
#include "verifierd/ledger_stack.h"
#include "verifierd/witness_stack.h"

namespace vmattest::daemon {

// What a LedgerHost works with: how that is opened, and how the host comes by
// its key and its place on the ledger. Of ledger_host.cc alone.
struct LedgerHost::Work {
  Work(const config::HostLedgerSettings& settings_in, const Parts& parts_in)
      : settings(settings_in),
        parts(parts_in),
        vouch(parts.signer, parts.clock) {}

  // The ledger of this host or elsewhere, its files, and the outbox to it.
  // Once, on the main thread; errors name the file.
  absl::Status Open(const config::DaemonConfig& config);
  // Empty until the TPM was reached.
  [[nodiscard]] std::string HostId() const;
  // Of a VM, on this host's own ledger, with an `authority`; errors as
  // LocalAuthority::Register. Any thread; blocks, as the next.
  absl::Status Register(const Uuid& vm, MonotonicTime deadline);
  // On the ledger elsewhere. DATA_LOSS: it tells two stories. Else as
  // GrpcLedger::GetTrust.
  absl::StatusOr<v1::GetTrustResponse> Ask(const Uuid& vm);

  const config::HostLedgerSettings settings;
  const Parts parts;
  LedgerKeyEvidence vouch;
  std::filesystem::path folder;
  // Of the outbox's thread, these four.
  Bytes evidence;
  std::string vouched_for;  // the host's id
  std::optional<TpmClock> tpm_clock;
  MonotonicTime tpm_clock_read;  // also where there was no answer
  std::shared_ptr<const EcPrivateKey> key;
  std::optional<ThreadPool> checkers;
  std::unique_ptr<verifierd::LedgerStack> stack;  // null: it is elsewhere
  std::optional<LedgerMarker> marker;  // of the main thread; beside `stack`
  std::unique_ptr<outbox::LedgerPort> ledger;
  rpc::GrpcLedger* remote = nullptr;  // `ledger`, if it is elsewhere
  // Null: this host is none, or `stack` is.
  std::unique_ptr<verifierd::WitnessStack> witness;
  std::optional<outbox::LocalAuthority> authority;
  std::unique_ptr<outbox::OutboxFile> file;
  std::optional<outbox::Homes> homes;
  uint64_t boot_record = 0;  // of the thread that tells of the signer
  std::string log_problem;
  std::optional<bool> signer_serves;  // unknown until it did
  Mutex mutex;
  std::set<Uuid> taken_up GUARDED_BY(mutex);  // on the ledger, or on the way
  std::map<Uuid, Bytes> attested GUARDED_BY(mutex);
  std::unique_ptr<outbox::Outbox> box;

 private:
  absl::Status OpenEmbedded(const config::DaemonConfig& config);
  absl::Status OpenRemote();
  absl::Status OpenWitness(const tlog::WitnessPolicy& policy);
  std::optional<TpmClock> ReadTpmClock();
  absl::StatusOr<Bytes> KeyEvidence(const std::string& host,
                                    MonotonicTime deadline);
  absl::Status AuthoriseHost(MonotonicTime deadline);
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_LEDGER_ASSEMBLY_H_
