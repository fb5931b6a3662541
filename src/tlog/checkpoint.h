#ifndef VMATTEST_TLOG_CHECKPOINT_H_
#define VMATTEST_TLOG_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vmattest::tlog {

// The text of a checkpoint, c2sp.org/tlog-checkpoint@v1.0.0:
//   ORIGIN\nSIZE\nBASE64(ROOT)\n, and lines that others may add.
struct Checkpoint {
  std::string origin;
  uint64_t size = 0;
  Bytes root;             // 32 bytes
  std::string extension;  // those lines; ours have none
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// INVALID_ARGUMENT: anything that EncodeCheckpoint would not have written.
absl::StatusOr<Checkpoint> ParseCheckpoint(std::string_view text);
std::string EncodeCheckpoint(const Checkpoint& checkpoint);

// A number as C2SP's formats have it: decimal, no leading zeros, no sign.
absl::StatusOr<uint64_t> ParseDecimal(std::string_view text);

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_CHECKPOINT_H_
