#ifndef VMATTEST_LEDGER_ETCD_LOG_CODEC_H_
#define VMATTEST_LEDGER_ETCD_LOG_CODEC_H_

#include <string>
#include <string_view>
#include <vector>

#include "ledger/log_store.h"

// Values as they lie in etcd (docs/formats/ledger-etcd.md). Whoever may write
// there may write anything: reading takes bounded time and memory, and is
// DATA_LOSS for what was not written here. Pure.

namespace vmattest::ledger {

// Records whose parts share a prefix of their keys.
inline constexpr uint64_t kBundle = 256;
// A part is full once it has so much; its last record may lie beyond that.
inline constexpr size_t kPartBytes = 128u << 10;

// Tells the commits of all nodes and times apart.
struct CommitMark {
  int64_t leader = 0;  // create_revision of the leader's key
  uint64_t attempt = 0;
  friend bool operator==(const CommitMark&, const CommitMark&) = default;
};

std::string EncodeLogHead(const LogHead& head, const CommitMark& mark);
absl::StatusOr<LogHead> DecodeLogHead(std::string_view value);

// Records that follow each other.
std::string EncodePart(const std::vector<Bytes>& records, size_t begin,
                       size_t end, const CommitMark& mark);
absl::StatusOr<std::vector<Bytes>> DecodePart(std::string_view value);

std::string EncodeCheckpoint(const StoredCheckpoint& checkpoint);
absl::StatusOr<StoredCheckpoint> DecodeCheckpoint(std::string_view value);

// A number, with something that makes the value its own; "" if there is none.
std::string EncodeNumber(uint64_t number, std::string_view own = "");
absl::StatusOr<uint64_t> DecodeNumber(std::string_view value);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_ETCD_LOG_CODEC_H_
