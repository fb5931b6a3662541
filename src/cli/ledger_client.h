#ifndef VMATTEST_CLI_LEDGER_CLIENT_H_
#define VMATTEST_CLI_LEDGER_CLIENT_H_

#include <memory>
#include <string>

#include "base/status.h"
#include "base/uuid.h"
#include "cli/connection.h"
#include "document/document.h"
#include "vmattest/v1/ledger.grpc.pb.h"
#include "vmattest/v1/ledger_entry.pb.h"

namespace vmattest::cli {

// A ledger that somebody with a document key writes to. One thread.
class LedgerClient {
 public:
  static absl::StatusOr<LedgerClient> Open(const ConnectionArgs& connection);

  // The ledger's name, from its newest checkpoint. FAILED_PRECONDITION: it has
  // none yet.
  absl::StatusOr<std::string> Origin();
  absl::StatusOr<v1::GetWriterResponse> GetWriter(const std::string& writer);
  absl::StatusOr<v1::GetTrustResponse> GetTrust(const Uuid& vm);
  // Signs `body` as the next entry of the key's and sends it.
  // FAILED_PRECONDITION: refused, with the code.
  absl::StatusOr<uint64_t> Write(v1::LedgerEntryBody body,
                                 const document::PrivateKey& key,
                                 const std::string& origin);

 private:
  LedgerClient(ConnectionArgs connection,
               std::unique_ptr<v1::Ledger::Stub> stub)
      : connection_(std::move(connection)), stub_(std::move(stub)) {}

  ConnectionArgs connection_;
  std::unique_ptr<v1::Ledger::Stub> stub_;
};

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_LEDGER_CLIENT_H_
