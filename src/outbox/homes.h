#ifndef VMATTEST_OUTBOX_HOMES_H_
#define VMATTEST_OUTBOX_HOMES_H_

#include <chrono>
#include <memory>
#include <string>

#include "base/clock.h"
#include "crypto/ec_private_key.h"
#include "outbox/ledger_port.h"
#include "outbox/outbox_file.h"

namespace vmattest::outbox {

// Ownership records (rule S20): what the ledger last said of the homes of VMs,
// signed by the host's ledger key, so that an outage of the ledger does not
// stop VMs that live here. Callable from any thread.
class Homes {
 public:
  struct Parts {
    OutboxFile& file;
    LedgerPort& ledger;
    std::shared_ptr<const EcPrivateKey> key;
    const Clock& clock;
  };
  // `lasts`: how long a record holds after the ledger said so.
  Homes(Parts parts, std::string origin, std::chrono::milliseconds lasts);

  enum class Answer : uint8_t {
    kHere,          // its home is this host, or it is on its way here
    kNone,          // it has no home yet
    kElsewhere,     // another host
    kUnregistered,  // nobody registered it
    kUnknown,       // the ledger is away, and no record holds
  };
  struct Home {
    Answer answer = Answer::kUnknown;
    std::string host;      // kElsewhere
    bool kept = false;     // by a record: the ledger is away
    absl::Status problem;  // of the ledger
  };
  // Asks the ledger, and notes what it says. Blocks until `deadline`.
  Home Find(const Uuid& vm, const std::string& self, MonotonicTime deadline);
  // The ledger said so now. A record of the last minute that says the same
  // stays as it is.
  absl::Status Note(const Uuid& vm, const LedgerPort::Vm& said,
                    const std::string& self);
  // Asks again about the record that is the oldest, if it is half over.
  absl::Status RefreshOldest(const std::string& self, MonotonicTime deadline);

 private:
  [[nodiscard]] Bytes DigestOf(const Uuid& vm,
                               const OutboxFile::Home& home) const;
  [[nodiscard]] bool Holds(const Uuid& vm, const OutboxFile::Home& home,
                           const std::string& self) const;

  const Parts parts_;
  const std::string origin_;
  const std::chrono::milliseconds lasts_;
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_HOMES_H_
