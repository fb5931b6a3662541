#ifndef VMATTEST_OUTBOX_ENTRY_MAKER_H_
#define VMATTEST_OUTBOX_ENTRY_MAKER_H_

#include <memory>
#include <optional>
#include <string>

#include "crypto/ec_private_key.h"
#include "outbox/outbox_file.h"
#include "outbox/vm_mirror.h"
#include "vmattest/types/tpm.h"

namespace vmattest::outbox {

// Makes the entry of what is queued, at the moment it is sent: only then is it
// known what it must follow. One thread.
class EntryMaker {
 public:
  EntryMaker(std::string origin, std::shared_ptr<const EcPrivateKey> key,
             VmMirror& mirror)
      : origin_(std::move(origin)), key_(std::move(key)), mirror_(mirror) {}

  // Fills in sequence, hash and entry; `body` becomes what was signed. `tick`:
  // above that of the host's batch before. `now`: the TPM's clock. A reason:
  // the ledger would refuse it. Errors as LedgerPort::GetVm.
  absl::StatusOr<std::optional<Reason>> Make(const std::string& host_id,
                                             const OutboxFile::Written& last,
                                             uint64_t tick,
                                             const std::optional<TpmClock>& now,
                                             MonotonicTime deadline,
                                             OutboxFile::Queued& queued);

 private:
  absl::StatusOr<std::optional<Reason>> LinkVm(const std::string& vm_id,
                                               MonotonicTime deadline,
                                               std::string& previous);
  absl::StatusOr<std::optional<Reason>> Link(const std::string& host_id,
                                             MonotonicTime deadline,
                                             v1::LedgerEntryBody& body);
  absl::Status FillBatch(const std::string& host_id, uint64_t tick,
                         MonotonicTime deadline, v1::LedgerAttestBatch& batch);

  const std::string origin_;
  const std::shared_ptr<const EcPrivateKey> key_;
  VmMirror& mirror_;
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_ENTRY_MAKER_H_
