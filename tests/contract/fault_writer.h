#ifndef VMATTEST_TESTS_CONTRACT_FAULT_WRITER_H_
#define VMATTEST_TESTS_CONTRACT_FAULT_WRITER_H_

#include <cstddef>

#include "ledger/log_store.h"
#include "tlog/tile_tree.h"

// What a process does that is killed while it appends to a log
// (ledger_fault_suite.h).

namespace vmattest::testing {

// How it dies at one of its writes: before it, in the middle of it, or right
// after it.
enum class Cut { kBefore, kHalf, kAfter };

struct AppendWork {
  size_t batches = 1;
  size_t records = 8;
  size_t record_size = 700;
};

// The next commit of a log whose tree is `edge`, which grows.
ledger::LogBatch NextBatch(const ledger::LogHead& before, tlog::TreeEdge& edge,
                           size_t records, size_t record_size);

// The tree of all that `store` has.
absl::StatusOr<tlog::TreeEdge> TreeOf(ledger::LogStore& store);

// Exit codes of the process.
inline constexpr int kNotTheWriter = 11;  // another one has the log
inline constexpr int kRefused = 12;

// Leads, and appends after what is there; says of each batch that was
// acknowledged one byte on the descriptor `told`. Returns the exit code.
int RunAppends(ledger::LogStore& store, const AppendWork& work, int told);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_CONTRACT_FAULT_WRITER_H_
