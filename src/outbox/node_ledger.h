#ifndef VMATTEST_OUTBOX_NODE_LEDGER_H_
#define VMATTEST_OUTBOX_NODE_LEDGER_H_

#include <string>

#include "ledger/node.h"
#include "outbox/ledger_port.h"

namespace vmattest::outbox {

// A ledger node of this process, without gRPC between. The node outlives it,
// and every call.
class NodeLedger final : public LedgerPort {
 public:
  explicit NodeLedger(ledger::LedgerNode& node) : node_(node) {}

  absl::StatusOr<Answer> Submit(const Bytes& entry,
                                MonotonicTime deadline) override;
  absl::StatusOr<Writer> GetWriter(const std::string& writer,
                                   MonotonicTime deadline) override;
  absl::StatusOr<Vm> GetVm(const Uuid& vm, MonotonicTime deadline) override;
  absl::StatusOr<Size> GetSize(MonotonicTime deadline) override;

 private:
  ledger::LedgerNode& node_;
};

// What a log says of a writer; also what Ledger.GetWriter answers.
LedgerPort::Writer WriterIn(const ledger::LogState& state,
                            const std::string& writer);

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_NODE_LEDGER_H_
