#include "ledger/etcd/log_codec.h"

#include <utility>

namespace vmattest::ledger {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kHashSize = 32;

std::string Take(ByteWriter& writer) {
  return std::string(AsText(writer.bytes()));
}

absl::Status Malformed(std::string_view what, uint8_t version) {
  if (version > kVersion) {
    return absl::FailedPreconditionError(std::string(what) +
                                         " was written by a newer vmattest");
  }
  return absl::DataLossError(std::string(what) + " is malformed");
}

void Add(ByteWriter& writer, const CommitMark& mark) {
  writer.U64(static_cast<uint64_t>(mark.leader)).U64(mark.attempt);
}

}  // namespace

std::string EncodeLogHead(const LogHead& head, const CommitMark& mark) {
  ByteWriter writer;
  writer.U8(kVersion)
      .U64(head.size)
      .U64(static_cast<uint64_t>(head.time_unix_ms))
      .Raw(head.root);
  Add(writer, mark);
  return Take(writer);
}

absl::StatusOr<LogHead> DecodeLogHead(std::string_view value) {
  ByteReader reader(AsBytes(value));
  const uint8_t version = reader.U8();
  LogHead head;
  head.size = reader.U64();
  head.time_unix_ms = static_cast<int64_t>(reader.U64());
  head.root = ToBytes(reader.Raw(kHashSize));
  reader.Raw(16);
  if (version != kVersion || !reader.AtEnd()) {
    return Malformed("the ledger's head", version);
  }
  return head;
}

std::string EncodePart(const std::vector<Bytes>& records, size_t begin,
                       size_t end, const CommitMark& mark) {
  ByteWriter writer;
  writer.U8(kVersion);
  Add(writer, mark);
  writer.U32(static_cast<uint32_t>(end - begin));
  for (size_t i = begin; i < end; ++i) {
    writer.U16(static_cast<uint16_t>(records[i].size())).Raw(records[i]);
  }
  return Take(writer);
}

absl::StatusOr<std::vector<Bytes>> DecodePart(std::string_view value) {
  ByteReader reader(AsBytes(value));
  const uint8_t version = reader.U8();
  reader.Raw(16);
  const uint32_t count = reader.U32();
  std::vector<Bytes> records;
  for (uint32_t i = 0; i < count && reader.ok() && i <= kMaxBatch; ++i) {
    const uint16_t size = reader.U16();
    records.push_back(ToBytes(reader.Raw(size)));
  }
  if (version != kVersion || !reader.AtEnd() || records.empty() ||
      records.size() > kMaxBatch) {
    return Malformed("a batch of the ledger", version);
  }
  return records;
}

std::string EncodeCheckpoint(const StoredCheckpoint& checkpoint) {
  ByteWriter writer;
  writer.U8(kVersion).U64(checkpoint.size).Raw(checkpoint.note);
  return Take(writer);
}

absl::StatusOr<StoredCheckpoint> DecodeCheckpoint(std::string_view value) {
  ByteReader reader(AsBytes(value));
  const uint8_t version = reader.U8();
  StoredCheckpoint checkpoint;
  checkpoint.size = reader.U64();
  checkpoint.note = AsText(reader.Raw(reader.remaining()));
  if (version != kVersion || !reader.ok()) {
    return Malformed("the ledger's checkpoint", version);
  }
  return checkpoint;
}

std::string EncodeNumber(uint64_t number, std::string_view own) {
  ByteWriter writer;
  writer.U8(kVersion).U64(number).Raw(own);
  return Take(writer);
}

absl::StatusOr<uint64_t> DecodeNumber(std::string_view value) {
  ByteReader reader(AsBytes(value));
  const uint8_t version = reader.U8();
  const uint64_t number = reader.U64();
  if (version != kVersion || !reader.ok()) {
    return Malformed("a number of the ledger", version);
  }
  return number;
}

}  // namespace vmattest::ledger
