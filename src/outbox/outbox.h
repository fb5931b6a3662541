#ifndef VMATTEST_OUTBOX_OUTBOX_H_
#define VMATTEST_OUTBOX_OUTBOX_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "crypto/ec_private_key.h"
#include "ledger/entry.h"
#include "outbox/entry_maker.h"
#include "outbox/homes.h"
#include "outbox/ledger_port.h"
#include "outbox/outbox_file.h"
#include "outbox/vm_mirror.h"
#include "vmattest/types/tpm.h"

namespace vmattest::outbox {

// What one host writes to the ledger: queued on disk first, then signed and
// sent in order by a thread of its own ("outbox"), kept until it is witnessed
// and sent again if the ledger lost it (rule S29). Callable from any thread.
//
// Nothing that Launch(), Result() or Tick() took is lost or counted twice,
// whenever this process dies. When the queue is full, ticks become part of the
// newest tick that waits, a failure in either being one; a refused launch that
// of the same VM that waits; events are dropped; allowed launches are refused
// with RESOURCE_EXHAUSTED.
class Outbox {
 public:
  struct Parts {
    OutboxFile& file;
    LedgerPort& ledger;
    Homes& homes;
    std::shared_ptr<const EcPrivateKey> key;  // of this host's entries
    const Clock& clock;
    // Empty as long as the TPM was not reached.
    std::function<std::string()> host_id;
    // The TPM's clock as an entry is signed, or nothing if that takes long. May
    // be empty.
    std::function<std::optional<TpmClock>()> tpm_clock;
    // Before the first entry, and when the ledger does not know this host or a
    // VM: what an authority of this process may do about it. May be empty.
    std::function<absl::Status(MonotonicTime deadline)> authorise;
    std::function<absl::Status(const Uuid& vm, MonotonicTime deadline)>
        register_vm;
  };
  struct Options {
    std::string origin;
    size_t max_queued = 10'000;
    std::chrono::milliseconds batch_interval{5'000};
    std::chrono::milliseconds call_limit{10'000};
    std::chrono::milliseconds first_pause{200};
    std::chrono::milliseconds longest_pause{30'000};
    std::chrono::milliseconds look_interval{1'000};  // for what is witnessed
  };
  Outbox(Parts parts, Options options);
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  // What waits goes on waiting on disk.
  ~Outbox();

  // On disk when it returns. RESOURCE_EXHAUSTED: full. DATA_LOSS and so on:
  // the file. With `awaited` AwaitCommitted() must follow.
  absl::StatusOr<int64_t> Launch(const v1::LedgerLaunchDecision& decision,
                                 bool awaited);
  absl::Status Result(const v1::LedgerAttestResult& result);
  // All results of now; more often than `batch_interval` they are left out
  // (false), unless there is a failure. Of no VM, they are told once.
  absl::StatusOr<bool> Tick(std::vector<v1::LedgerVmChange> results);
  absl::Status Event(const v1::LedgerNotice& notice);

  // Until the entry is committed: OK, or refused: FAILED_PRECONDITION with the
  // code. DEADLINE_EXCEEDED: it is still under way.
  absl::Status AwaitCommitted(int64_t id, MonotonicTime deadline);

  struct State {
    // OK: what is queued gets written. UNAVAILABLE: it waits; says how many
    // since when, and why. DATA_LOSS: the ledger lost what was witnessed.
    absl::Status health;
    OutboxFile::Counts counts;
    uint64_t sent = 0;     // since the start
    uint64_t merged = 0;   // ticks and refusals
    uint64_t dropped = 0;  // events
    uint64_t resent = 0;   // what the ledger had lost
    int64_t oldest_age_ms = 0;
  };
  [[nodiscard]] State state();

 private:
  enum class Step { kSent, kIdle, kFailed };

  [[nodiscard]] bool IsFull() const;
  absl::Status AddTick(int64_t now, const v1::LedgerEntryBody& body,
                       bool failed);
  void Kick();
  void Run();
  void WaitForWork(Step last);
  Step SendNext();
  absl::Status Synchronise(const std::string& host_id, MonotonicTime deadline);
  absl::Status TakeWriter(const LedgerPort::Writer& writer,
                          const LedgerPort::Size& size);
  absl::StatusOr<bool> SignNext(const std::string& host_id,
                                OutboxFile::Queued& queued,
                                MonotonicTime deadline);
  absl::Status Committed(const OutboxFile::Queued& queued,
                         const LedgerPort::Answer& answer,
                         const std::string& host_id);
  absl::Status Refused(const OutboxFile::Queued& queued, const Reason& reason,
                       MonotonicTime deadline);
  absl::Status GiveUp(const OutboxFile::Queued& queued, const std::string& code,
                      const std::string& why);
  void LookWitnessed(MonotonicTime deadline);
  void RefreshHomes(const std::string& host_id, MonotonicTime deadline);
  void Tell(int64_t id, const absl::Status& what);
  void SetProblem(const absl::Status& problem);
  [[nodiscard]] int64_t NowMs() const;
  [[nodiscard]] MonotonicTime Limit() const;

  const Parts parts_;
  const Options options_;

  // Of the thread alone.
  VmMirror mirror_;
  EntryMaker maker_;
  bool synchronised_ = false;
  std::string written_as_;
  OutboxFile::Written last_;
  uint64_t tick_ = 0;
  int64_t last_batch_ms_ = 0;
  int attempts_ = 0;  // of the oldest entry
  int64_t attempted_ = 0;
  std::chrono::milliseconds pause_{0};
  MonotonicTime look_at_;
  absl::Status doubt_;  // about what the ledger calls witnessed

  Mutex add_;  // one decision about the end of the queue at a time
  int64_t last_tick_ms_ GUARDED_BY(add_) = 0;
  bool idle_ GUARDED_BY(add_) = false;  // the last tick was about no VM
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool work_ GUARDED_BY(mutex_) = true;
  bool hurry_ GUARDED_BY(mutex_) = false;  // somebody waits for an answer
  absl::Status problem_ GUARDED_BY(mutex_);
  absl::Status lost_ GUARDED_BY(mutex_);
  std::map<int64_t, std::optional<absl::Status>> awaited_ GUARDED_BY(mutex_);
  uint64_t sent_ GUARDED_BY(mutex_) = 0;
  uint64_t merged_ GUARDED_BY(mutex_) = 0;
  uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  uint64_t resent_ GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_OUTBOX_H_
