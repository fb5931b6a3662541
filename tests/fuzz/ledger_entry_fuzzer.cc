// Hostile entries and records: what parses is what its bytes say, and the
// rules refuse it without a crash.

#include <cstdlib>

#include "ledger/log_state.h"

namespace vmattest::ledger {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Run(ByteView bytes) {
  static const LogState& state = *new LogState({.origin = "fuzzer"});
  const auto record = ParseRecord(bytes);
  if (record.ok()) {
    Require(AsText(EncodeRecord(record->time_unix_ms, record->entry)) ==
            AsText(bytes));
    bytes = record->entry;
  }
  const auto entry = ParseEntry(bytes);
  if (!entry.ok()) {
    return;
  }
  Require(!TypeName(entry->body).empty());
  Require(!LogState::Touches(*entry).empty());
  // Nobody is authorised: nothing may pass.
  const WriterKey key = state.KeyFor(*entry);
  Require(CheckSignature(state.policy(), *entry, key).has_value());
  const auto refusal = state.Check(*entry, key, entry->body.time_unix_ms());
  Require(entry->by_document || refusal.has_value());
}

}  // namespace
}  // namespace vmattest::ledger

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> copy(data, data + size);
  vmattest::ledger::Run(copy);
  return 0;
}
