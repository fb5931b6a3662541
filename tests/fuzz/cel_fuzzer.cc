// Hostile event log records: whatever parses has one TLV encoding, survives
// CEL-JSON and replays without harm.

#include <cstdlib>
#include <string>

#include "eventlog/bundle.h"
#include "eventlog/cel.h"
#include "eventlog/host_event.h"
#include "eventlog/host_log.h"

namespace vmattest::eventlog {
namespace {

void Require(bool ok) {
  if (!ok) {
    std::abort();
  }
}

void Use(const std::vector<CelRecord>& records) {
  const auto again = ParseCelJsonLog(ToCelJsonLog(records));
  Require(again.ok());
  for (const HashAlgorithm bank :
       {HashAlgorithm::kSha256, HashAlgorithm::kSha384}) {
    const uint8_t pcr = records.empty() ? 13 : records.front().pcr;
    const HostLogReplay replay = ReplayHostLog(records, pcr, bank);
    if (replay.problem.kind == HostLogProblem::Kind::kNone) {
      Require(replay.heads.size() == records.size());
      Require(CoveredRecords(replay, replay.pcrs.back()).has_value());
    }
  }
}

void Tlv(ByteView input) {
  const auto records = ParseCel(input);
  if (!records.ok()) {
    return;
  }
  Bytes again;
  for (const CelRecord& record : *records) {
    const Bytes one = EncodeCel(record);
    again.insert(again.end(), one.begin(), one.end());
  }
  Require(again == ToBytes(input));
  for (const CelRecord& record : *records) {
    if (record.pcr > 31) {
      return;  // CEL-JSON knows the PCRs that there can be
    }
  }
  Use(*records);
}

void Json(std::string_view text) {
  if (const auto records = ParseCelJsonLog(text); records.ok()) {
    Use(*records);
  }
  if (const auto bundle = ParseBundle(text); bundle.ok()) {
    const auto again = ParseBundle(EncodeBundle(*bundle));
    Require(again.ok() && again->evidence == bundle->evidence &&
            again->boot_log == bundle->boot_log &&
            again->records == bundle->records);
  }
  if (const auto event = ParseHostEvent(text); event.ok()) {
    Require(EncodeHostEvent(*event) == text);
  }
}

// The records of a sound log with one of them changed: what is behind the
// digests is reached.
void Rehashed(ByteView input) {
  CelRecord record;
  record.number = 1;
  record.pcr = 13;
  record.content_type = kCelContentHostEvent;
  record.content = ToBytes(input);
  record.digests[0x000B] = RecordDigest(HashAlgorithm::kSha256, record.content);
  std::vector<CelRecord> records = {record, record, record};
  records[1].number = 2;
  records[2].number = 7;
  for (size_t count = 1; count <= records.size(); ++count) {
    ReplayHostLog(std::span(records).first(count), 13, HashAlgorithm::kSha256);
  }
}

}  // namespace
}  // namespace vmattest::eventlog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vmattest::ByteView input(data, size);
  vmattest::eventlog::Tlv(input);
  vmattest::eventlog::Json(vmattest::AsText(input));
  vmattest::eventlog::Rehashed(input);
  return 0;
}
