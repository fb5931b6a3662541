#ifndef VMATTEST_LEDGER_RETENTION_H_
#define VMATTEST_LEDGER_RETENTION_H_

#include <filesystem>
#include <string>
#include <vector>

#include "document/document.h"
#include "ledger/node.h"

namespace vmattest::ledger {

// A node's copy of the log in a folder, and how much the store keeps. What is
// dropped was witnessed, and lies in every archive that is named; a state-root
// entry above it says what it gave, so that the log opens without it. One
// thread at a time.
class Retention {
 public:
  struct Options {
    std::filesystem::path archive;    // a tlog-tiles folder, made if not there
    std::string name;                 // of this copy
    uint64_t keep = 0;                // records that stay at least; 0: all
    std::vector<std::string> others;  // copies that must have what is dropped
  };
  // `authority` signs state-root entries; null: nothing is dropped. All must
  // outlive it.
  Retention(LedgerNode& node, const document::PrivateKey* authority,
            Options options);

  // Copies what is new; then, on the leader, one step towards dropping what is
  // more than `keep` and an eighth. Blocks for as long as that takes.
  // FAILED_PRECONDITION: another copy has not got that far. DATA_LOSS: the
  // archive is of another log.
  absl::Status Round();

 private:
  absl::Status Archive(const Checkpointer::State& checkpoint);
  absl::Status Drop(const Checkpointer::State& checkpoint);
  absl::Status WriteState(uint64_t seen_size);

  LedgerNode& node_;
  const document::PrivateKey* const authority_;
  const Options options_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_RETENTION_H_
