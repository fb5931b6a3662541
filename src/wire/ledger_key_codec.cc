#include "wire/ledger_key_codec.h"

#include "vmattest/v1/ledger_key.pb.h"
#include "wire/messages.h"

namespace vmattest::wire {

Bytes EncodeLedgerKeyStatement(const evidence::LedgerKeyStatement& statement) {
  v1::LedgerKeyStatement message;
  *message.mutable_header() = ToMessage(statement.header);
  message.set_log(statement.log);
  message.set_key_spki(ToField(statement.key_spki));
  return Serialize(message);
}

absl::StatusOr<evidence::LedgerKeyStatement> ParseLedgerKeyStatement(
    ByteView bytes) {
  v1::LedgerKeyStatement message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxStatementSize, "LedgerKeyStatement", message));
  evidence::LedgerKeyStatement statement;
  statement.header = FromMessage(message.header());
  statement.log = message.log();
  statement.key_spki = FromField(message.key_spki());
  RETURN_IF_ERROR(CheckCanonical(bytes, EncodeLedgerKeyStatement(statement),
                                 "LedgerKeyStatement"));
  return statement;
}

}  // namespace vmattest::wire
