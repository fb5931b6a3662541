// Hostile values of etcd: whatever decodes encodes to the same again.

#include <cstdlib>
#include <string>

#include "ledger/etcd/log_codec.h"
#include "verification/etcd/rows.h"

namespace vmattest {
namespace {

void Require(bool ok) {
  if (!ok) {
    std::abort();
  }
}

void UseLog(const std::string& value) {
  using namespace ledger;  // NOLINT(google-build-using-namespace)
  if (const auto head = DecodeLogHead(value); head.ok()) {
    Require(*DecodeLogHead(EncodeLogHead(*head, {})) == *head);
  }
  if (const auto part = DecodePart(value); part.ok()) {
    Require(!part->empty() && part->size() <= kMaxBatch);
    Require(*DecodePart(EncodePart(*part, 0, part->size(), {})) == *part);
  }
  if (const auto checkpoint = DecodeCheckpoint(value); checkpoint.ok()) {
    Require(EncodeCheckpoint(*checkpoint) == value);
  }
  if (const auto number = DecodeNumber(value); number.ok()) {
    Require(*DecodeNumber(EncodeNumber(*number)) == *number);
  }
}

void UseRows(const std::string& value) {
  using namespace verification;  // NOLINT(google-build-using-namespace)
  if (const auto host = DecodeHost("k", value); host.ok()) {
    Require(*DecodeHost("k", Encode(*host)) == *host);
  }
  if (const auto permit = DecodePermit("k", value); permit.ok()) {
    Require(*DecodePermit("k", Encode(*permit)) == *permit);
  }
  if (const auto reference = DecodeReference("k", value); reference.ok()) {
    Require(*DecodeReference("k", Encode(*reference)) == *reference);
  }
  if (const auto order = DecodeOrder("k", value); order.ok()) {
    Require(*DecodeOrder("k", Encode(*order)) == *order);
  }
  if (const auto decision = DecodeDecision("k", ToBytes(value));
      decision.ok()) {
    Require(decision->fixes.size() == decision->reasons.size());
    Require(DecodeDecision("k", EncodeDecision(*decision)).ok());
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string value(reinterpret_cast<const char*>(data), size);
  vmattest::UseLog(value);
  vmattest::UseRows(value);
  return 0;
}
