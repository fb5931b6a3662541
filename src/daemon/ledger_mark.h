#ifndef VMATTEST_DAEMON_LEDGER_MARK_H_
#define VMATTEST_DAEMON_LEDGER_MARK_H_

#include <filesystem>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "ledger/log.h"
#include "signing/signer.h"

// How far this host's own ledger is, as an event "ledger-head" of the host
// event log: the log's anchor is in the TPM, so a ledger that is restored from
// a backup is behind what the TPM vouches for.

namespace vmattest::daemon {

struct LedgerMark {
  uint64_t size = 0;
  Bytes root;
};

// The newest about the ledger `origin` in the records of a file (CEL, TLV), and
// in the files of a log's folder. Records that cannot be read end the search
// in their file; what is wrong with them the signer says.
std::optional<LedgerMark> NewestMark(ByteView records,
                                     const std::string& origin);
std::optional<LedgerMark> FindNewestMark(const std::filesystem::path& folder,
                                         const std::string& origin);

// DATA_LOSS: the ledger has fewer records, or others.
absl::Status CheckMark(ledger::Log& log, const LedgerMark& mark);

// In the log and its anchor when it returns.
absl::Status WriteMark(signing::Signer& signer, const Clock& clock,
                       const std::string& origin, const LedgerMark& mark,
                       MonotonicTime deadline);

// Keeps the marks of one ledger. One thread at a time.
class LedgerMarker {
 public:
  struct Parts {
    ledger::Log& log;
    signing::Signer& signer;
    const Clock& clock;
    std::string origin;
    std::filesystem::path event_log;  // its folder
    // The ledger's, where an order "rollback-accepted" may lie: it names the
    // size that may be missing (docs/ledger.md).
    std::filesystem::path folder;
  };
  explicit LedgerMarker(Parts parts);

  // What CheckMark says of the newest mark, unless somebody accepted that.
  // Nothing is marked after an error.
  absl::Status Compare();
  // If the last one was a while ago and the ledger grew since. Never blocks
  // for long; a failure is tried again.
  void MarkNowAndThen();
  // If the ledger grew since.
  absl::Status Mark();

 private:
  [[nodiscard]] bool IsAccepted() const;

  const Parts parts_;
  LedgerMark marked_;
  bool may_mark_ = false;
  MonotonicTime next_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_LEDGER_MARK_H_
