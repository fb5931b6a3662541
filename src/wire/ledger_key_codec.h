#ifndef VMATTEST_WIRE_LEDGER_KEY_CODEC_H_
#define VMATTEST_WIRE_LEDGER_KEY_CODEC_H_

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "evidence/ledger_key.h"

namespace vmattest::wire {

// As wire/codec.h: strict, one encoding of each value. Any thread.
Bytes EncodeLedgerKeyStatement(const evidence::LedgerKeyStatement& statement);
absl::StatusOr<evidence::LedgerKeyStatement> ParseLedgerKeyStatement(
    ByteView bytes);

}  // namespace vmattest::wire

#endif  // VMATTEST_WIRE_LEDGER_KEY_CODEC_H_
