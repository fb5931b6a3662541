#include "eventlog/cel.h"

#include <fmt/format.h>

#include "crypto/tpm_digest.h"

namespace vmattest::eventlog {
namespace {

constexpr uint8_t kFieldNumber = 0;
constexpr uint8_t kFieldPcr = 1;
constexpr uint8_t kFieldDigests = 3;
constexpr uint8_t kFirstContentType = 4;
constexpr size_t kNumberSize = 8;
constexpr size_t kPcrSize = 1;
constexpr size_t kFieldHeader = 5;
constexpr uint16_t kMaxOneByte = 0xFF;

void WriteField(ByteWriter& writer, uint8_t type, ByteView value) {
  writer.U8(type).U32(static_cast<uint32_t>(value.size())).Raw(value);
}

struct Field {
  uint8_t type = 0;
  ByteView value;
};

// Reads fields of one record; says whether what is wrong is only the end.
class FieldReader {
 public:
  explicit FieldReader(ByteView bytes) : rest_(bytes) {}

  // OUT_OF_RANGE: cut off. INVALID_ARGUMENT: longer than `limit`.
  absl::StatusOr<Field> Next(size_t limit) {
    if (rest_.size() < kFieldHeader) {
      return absl::OutOfRangeError("cut off in the header of a field");
    }
    ByteReader reader(rest_);
    Field field;
    field.type = reader.U8();
    const size_t size = reader.U32();
    if (size > limit) {
      return absl::InvalidArgumentError(
          fmt::format("field of type {} has {} bytes, more than {}", field.type,
                      size, limit));
    }
    if (size > reader.remaining()) {
      return absl::OutOfRangeError(
          fmt::format("cut off in a field of type {}", field.type));
    }
    field.value = reader.Raw(size);
    rest_ = rest_.subspan(kFieldHeader + size);
    return field;
  }
  [[nodiscard]] bool AtEnd() const { return rest_.empty(); }
  [[nodiscard]] size_t remaining() const { return rest_.size(); }

 private:
  ByteView rest_;
};

absl::StatusOr<ByteView> ReadFixed(FieldReader& reader, uint8_t type,
                                   size_t size, std::string_view name) {
  ASSIGN_OR_RETURN(const Field field, reader.Next(kMaxCelRecord));
  if (field.type != type || field.value.size() != size) {
    return absl::InvalidArgumentError(fmt::format(
        "field of type {} and {} bytes where {} of type {} and {} bytes must "
        "be",
        field.type, field.value.size(), name, type, size));
  }
  return field.value;
}

absl::StatusOr<std::map<uint16_t, Bytes>> ParseDigests(ByteView value) {
  std::map<uint16_t, Bytes> digests;
  FieldReader reader(value);
  while (!reader.AtEnd()) {
    absl::StatusOr<Field> digest = reader.Next(kMaxCelRecord);
    if (!digest.ok()) {
      return absl::InvalidArgumentError("a digest is longer than its field");
    }
    if (digest->value.size() != TpmDigestSize(digest->type)) {
      return absl::InvalidArgumentError(
          fmt::format("digest of algorithm {:#06x} with {} bytes",
                      uint16_t{digest->type}, digest->value.size()));
    }
    if (!digests.empty() && digests.rbegin()->first >= digest->type) {
      return absl::InvalidArgumentError("digests are not in order, or twice");
    }
    digests.emplace(digest->type, ToBytes(digest->value));
  }
  if (digests.empty()) {
    return absl::InvalidArgumentError("no digest");
  }
  return digests;
}

absl::StatusOr<CelRecord> ReadRecord(FieldReader& reader) {
  CelRecord record;
  ASSIGN_OR_RETURN(const ByteView number,
                   ReadFixed(reader, kFieldNumber, kNumberSize, "RECNUM"));
  record.number = ByteReader(number).U64();
  ASSIGN_OR_RETURN(const ByteView pcr,
                   ReadFixed(reader, kFieldPcr, kPcrSize, "PCR"));
  record.pcr = pcr.front();
  ASSIGN_OR_RETURN(const Field digests, reader.Next(kMaxCelRecord));
  if (digests.type != kFieldDigests) {
    return absl::InvalidArgumentError(
        fmt::format("field of type {} where DIGESTS must be", digests.type));
  }
  ASSIGN_OR_RETURN(record.digests, ParseDigests(digests.value));
  ASSIGN_OR_RETURN(const Field content, reader.Next(kMaxCelContent));
  if (content.type < kFirstContentType) {
    return absl::InvalidArgumentError(
        fmt::format("field of type {} where content must be", content.type));
  }
  record.content_type = content.type;
  record.content = ToBytes(content.value);
  return record;
}

}  // namespace

Bytes EncodeCel(const CelRecord& record) {
  ByteWriter number;
  number.U64(record.number);
  ByteWriter digests;
  for (const auto& [algorithm, digest] : record.digests) {
    if (algorithm <= kMaxOneByte) {
      WriteField(digests, static_cast<uint8_t>(algorithm), digest);
    }
  }
  const uint8_t pcr[] = {record.pcr};
  ByteWriter writer;
  WriteField(writer, kFieldNumber, number.bytes());
  WriteField(writer, kFieldPcr, pcr);
  WriteField(writer, kFieldDigests, digests.bytes());
  WriteField(writer, record.content_type, record.content);
  return std::move(writer).Take();
}

absl::StatusOr<std::optional<CelRecord>> CelReader::Next() {
  if (offset_ == log_.size()) {
    return std::optional<CelRecord>();
  }
  const ByteView rest = log_.subspan(offset_);
  FieldReader reader(rest);
  ASSIGN_OR_RETURN_WITH(CelRecord record, ReadRecord(reader),
                        fmt::format("record {} at offset {}", count_, offset_));
  offset_ += rest.size() - reader.remaining();
  ++count_;
  return std::optional<CelRecord>(std::move(record));
}

absl::StatusOr<std::vector<CelRecord>> ParseCel(ByteView log) {
  std::vector<CelRecord> records;
  CelReader reader(log);
  while (true) {
    absl::StatusOr<std::optional<CelRecord>> next = reader.Next();
    if (!next.ok()) {
      return absl::InvalidArgumentError(next.status().message());
    }
    if (!*next) {
      return records;
    }
    records.push_back(**std::move(next));
  }
}

}  // namespace vmattest::eventlog
