#ifndef VMATTEST_RPC_LEDGER_CONVERSIONS_H_
#define VMATTEST_RPC_LEDGER_CONVERSIONS_H_

#include <string>

#include "base/uuid.h"
#include "ledger/node.h"
#include "rpc/authorizer.h"
#include "vmattest/v1/ledger.pb.h"

namespace vmattest::rpc {

// A VM that the caller may see. INVALID_ARGUMENT (FIELD_INVALID),
// PERMISSION_DENIED (VM_DENIED).
absl::StatusOr<Uuid> LedgerVmOf(const Authority& authority,
                                const std::string& field);

v1::GetTrustResponse ToWire(const Uuid& vm,
                            const ledger::LedgerNode::Trust& trust,
                            bool unwitnessed_ledger);
v1::SubmitResponse ToWire(const ledger::Sequencer::Submitted& submitted);
ledger::WitnessRequest FromWire(const v1::AddCheckpointRequest& request);
v1::AddCheckpointResponse ToWire(const tlog::WitnessReply& reply);

// NOT_FOUND becomes VM_UNKNOWN.
absl::Status TrustReason(absl::Status status);
// ABORTED becomes NOT_THE_LEADER with the leader's address.
absl::Status SubmitReason(absl::Status status,
                          const ledger::Leadership& leadership);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_LEDGER_CONVERSIONS_H_
