#ifndef VMATTEST_CLI_LEDGER_SOURCE_H_
#define VMATTEST_CLI_LEDGER_SOURCE_H_

#include <memory>

#include "cli/verifier_connection.h"
#include "ledger/tile_directory.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest::cli {

// The log of a running ledger node. One thread.
class LiveLedgerSource final : public ledger::AuditSource {
 public:
  // Nothing is asked yet. Errors as Connect().
  static absl::StatusOr<std::unique_ptr<LiveLedgerSource>> Open(
      const ConnectionArgs& args);

  [[nodiscard]] bool has_tiles() const override { return false; }
  [[nodiscard]] bool has_trust() const override { return true; }
  // Without its proof being looked at.
  absl::StatusOr<ledger::ToldTrust> Trust(const Uuid& vm) override;
  // FAILED_PRECONDITION: there is none yet.
  absl::StatusOr<std::string> CheckpointNote() override;
  absl::StatusOr<std::optional<tlog::ForkProof>> KnownFork() override;
  // OUT_OF_RANGE: trimmed.
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin, size_t limit,
                                             uint64_t size) override;
  absl::StatusOr<Bytes> Tile(uint32_t level, uint64_t index,
                             uint64_t size) override;

 private:
  LiveLedgerSource(const ConnectionArgs& args,
                   const std::shared_ptr<grpc::Channel>& channel)
      : args_(args), stub_(v1::Ledger::NewStub(channel)) {}
  absl::StatusOr<v1::GetCheckpointResponse> Ask();

  const ConnectionArgs args_;
  const std::unique_ptr<v1::Ledger::Stub> stub_;
};

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_LEDGER_SOURCE_H_
