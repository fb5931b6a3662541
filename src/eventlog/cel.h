#ifndef VMATTEST_EVENTLOG_CEL_H_
#define VMATTEST_EVENTLOG_CEL_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/digest.h"

// TCG Canonical Event Log Format, version 1.0: records in its TLV encoding
// (section 5.1) and in CEL-JSON (section 5.2). Pure; callable from any thread.
//
// Parsing is strict: there is one TLV encoding of a record, and whatever
// parses encodes to the same bytes. CEL-JSON may be laid out freely; names
// that are unknown, missing or there twice are refused.

namespace vmattest::eventlog {

// Types of the content field. 4 to 8 are the specification's. It reserves no
// range for others; 201 is ours and, to our knowledge, nobody else's.
inline constexpr uint8_t kCelContentManagement = 4;  // "cel"
inline constexpr uint8_t kCelContentPcClient = 5;    // "pcclient_std"
inline constexpr uint8_t kCelContentImaTemplate = 7;
inline constexpr uint8_t kCelContentImaTlv = 8;
inline constexpr uint8_t kCelContentHostEvent = 201;  // "vmattest_host_event"

inline constexpr size_t kMaxCelContent = 64u << 10;
// Of one record in either encoding.
inline constexpr size_t kMaxCelRecord = 256u << 10;

struct CelRecord {
  uint64_t number = 0;  // recnum
  uint8_t pcr = 0;
  std::map<uint16_t, Bytes> digests;  // by TPM_ALG_ID
  uint8_t content_type = 0;
  Bytes content;
  friend bool operator==(const CelRecord&, const CelRecord&) = default;
};

// RECNUM (8 bytes), PCR (1), DIGESTS (by algorithm, ascending), CONTENT.
Bytes EncodeCel(const CelRecord& record);

// Reads a log front to back and holds no more than one record. `log` must
// outlive it. One thread.
class CelReader {
 public:
  explicit CelReader(ByteView log) : log_(log) {}

  // The next record; none at the end. INVALID_ARGUMENT: not a record.
  // OUT_OF_RANGE: the log ends inside of a record (a torn write). Both name
  // the record, counted from 0, and the offset of its first byte; reading
  // stays there.
  absl::StatusOr<std::optional<CelRecord>> Next();
  // Of the first byte after the records read so far.
  [[nodiscard]] size_t offset() const { return offset_; }

 private:
  ByteView log_;
  size_t offset_ = 0;
  size_t count_ = 0;
};

// All records. INVALID_ARGUMENT, also if the log ends inside of one.
absl::StatusOr<std::vector<CelRecord>> ParseCel(ByteView log);

// One object without line breaks:
//   {"recnum":7,"pcr":13,"digests":[{"hashAlg":"sha256","digest":"HEX"}],
//    "content_type":"vmattest_host_event","content":{...}}
// The content of a host event is shown as the object that it is; anything else
// as hex, since its fields are not looked into.
std::string ToCelJson(const CelRecord& record);
// INVALID_ARGUMENT names the field. The content of a host event gets its
// canonical bytes back, however it was laid out.
absl::StatusOr<CelRecord> ParseCelJson(std::string_view json);

// "[\n", a record a line, "\n]\n".
std::string ToCelJsonLog(const std::vector<CelRecord>& records);
// INVALID_ARGUMENT names the record, counted from 0.
absl::StatusOr<std::vector<CelRecord>> ParseCelJsonLog(std::string_view json);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_CEL_H_
