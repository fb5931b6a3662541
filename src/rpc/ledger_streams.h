#ifndef VMATTEST_RPC_LEDGER_STREAMS_H_
#define VMATTEST_RPC_LEDGER_STREAMS_H_

#include "grpcpp/support/server_callback.h"
#include "rpc/ledger_service.h"

namespace vmattest::rpc {

// The VM's trust, then again whenever it changed. NOT_FOUND (VM_UNKNOWN).
grpc::ServerWriteReactor<v1::GetTrustResponse>* StartTrustStream(
    const LedgerParts& parts, const Uuid& vm);
// Records from `begin` on, page by page: nothing is queued for a watcher.
grpc::ServerWriteReactor<v1::WatchAllResponse>* StartRecordStream(
    const LedgerParts& parts, uint64_t begin);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_LEDGER_STREAMS_H_
