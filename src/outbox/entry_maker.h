#ifndef VMATTEST_OUTBOX_ENTRY_MAKER_H_
#define VMATTEST_OUTBOX_ENTRY_MAKER_H_

#include <memory>
#include <string>

#include "crypto/ec_private_key.h"
#include "outbox/outbox_file.h"
#include "outbox/vm_mirror.h"

namespace vmattest::outbox {

// Makes the entry of what is queued, at the moment it is sent: only then is it
// known what it must follow. One thread.
class EntryMaker {
 public:
  EntryMaker(std::string origin, std::shared_ptr<const EcPrivateKey> key,
             VmMirror& mirror)
      : origin_(std::move(origin)), key_(std::move(key)), mirror_(mirror) {}

  // Fills in sequence, hash and entry; `body` becomes what was signed, but for
  // its writer. `tick`: above that of the host's batch before.
  //   NOT_FOUND: about a VM that nobody registered. FAILED_PRECONDITION: about
  //   one whose home is elsewhere. Others as LedgerPort::GetVm.
  absl::Status Make(const std::string& host_id, const OutboxFile::Written& last,
                    uint64_t tick, MonotonicTime deadline,
                    OutboxFile::Queued& queued);

 private:
  absl::Status LinkVm(const std::string& vm_id, MonotonicTime deadline,
                      std::string& previous);
  absl::Status FillBatch(const std::string& host_id, uint64_t tick,
                         MonotonicTime deadline, v1::LedgerAttestBatch& batch);

  const std::string origin_;
  const std::shared_ptr<const EcPrivateKey> key_;
  VmMirror& mirror_;
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_ENTRY_MAKER_H_
