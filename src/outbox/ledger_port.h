#ifndef VMATTEST_OUTBOX_LEDGER_PORT_H_
#define VMATTEST_OUTBOX_LEDGER_PORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "vmattest/types/verdict.h"

namespace vmattest::outbox {

// What a host needs of its ledger: rpc::GrpcLedger over the network, NodeLedger
// in this process. Callable from any thread; blocks until `deadline` at most.
//
// All: UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, RESOURCE_EXHAUSTED: try again.
// PERMISSION_DENIED, UNAUTHENTICATED: the ledger does not know who asks.
class LedgerPort {
 public:
  virtual ~LedgerPort() = default;

  struct Answer {
    std::optional<Reason> refusal;  // for good, as long as nothing else changes
    uint64_t index = 0;             // committed, also long ago (a retry)
    int64_t time_ms = 0;            // ledger time; 0 for a retry
  };
  // After an error it is open whether the entry is in: the same bytes again
  // count once.
  virtual absl::StatusOr<Answer> Submit(const Bytes& entry,
                                        MonotonicTime deadline) = 0;

  struct Writer {
    uint64_t sequence = 0;  // 0: it has written nothing
    Bytes last_hash;
    bool authorised = false;  // and not revoked
    Bytes key_spki;           // the key in force, of a host
    std::vector<Uuid>
        running;  // VMs that run on this host, as the ledger has it
    uint64_t tick = 0;
  };
  // A host's id, or "key/HEX"; of an unknown one all is empty.
  virtual absl::StatusOr<Writer> GetWriter(const std::string& writer,
                                           MonotonicTime deadline) = 0;

  struct Vm {
    Bytes newest_hash;       // of the newest entry about it
    std::string home;        // empty: none
    std::string leaving_to;  // between migrate-out and migrate-in
    uint64_t epoch = 0;
    bool running = false;
  };
  // NOT_FOUND: nobody registered it.
  virtual absl::StatusOr<Vm> GetVm(const Uuid& vm, MonotonicTime deadline) = 0;

  struct Size {
    uint64_t committed = 0;  // records that there are
    uint64_t witnessed = 0;  // in the newest checkpoint with a quorum
    // Why the newest checkpoint is not believed; `witnessed` is 0 then.
    absl::Status doubt = {};
  };
  // DATA_LOSS: the ledger contradicts what it said before.
  virtual absl::StatusOr<Size> GetSize(MonotonicTime deadline) = 0;
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_LEDGER_PORT_H_
