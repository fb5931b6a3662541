#ifndef VMATTEST_OUTBOX_LOCAL_AUTHORITY_H_
#define VMATTEST_OUTBOX_LOCAL_AUTHORITY_H_

#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "document/document.h"
#include "outbox/ledger_port.h"
#include "vmattest/v1/ledger_entry.pb.h"

namespace vmattest::outbox {

// The Trust Authority of a ledger that one host keeps for itself: its key is in
// this process, so that a single host needs no other machine. What it signs is
// what a Trust Authority elsewhere signs by hand. Callable from any thread;
// blocks as the ledger does.
class LocalAuthority {
 public:
  // `ledger` and `clock` outlive it.
  LocalAuthority(LedgerPort& ledger, document::PrivateKey key,
                 std::string origin, const Clock& clock)
      : ledger_(ledger),
        key_(std::move(key)),
        origin_(std::move(origin)),
        clock_(clock) {}

  // Nothing where the ledger has that key of that host in force already.
  absl::Status Authorise(const v1::LedgerHostAuthorise& host,
                         MonotonicTime deadline);
  // Nothing where somebody registered it already.
  absl::Status Register(const Uuid& vm, const std::string& owner,
                        MonotonicTime deadline);

 private:
  absl::Status Write(v1::LedgerEntryBody body, MonotonicTime deadline)
      EXCLUDES_LOCK(write_);

  LedgerPort& ledger_;
  const document::PrivateKey key_;
  const std::string origin_;
  const Clock& clock_;
  Mutex write_;  // one entry of the key's after the other
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_LOCAL_AUTHORITY_H_
