#ifndef VMATTEST_EVIDENCE_LEDGER_KEY_H_
#define VMATTEST_EVIDENCE_LEDGER_KEY_H_

#include <string>
#include <string_view>

#include "evidence/statement.h"

namespace vmattest::evidence {

inline constexpr std::string_view kLedgerKeyPayloadType =
    "application/vnd.vmattest.ledger-key.v1+protobuf";

// The host signs its entries of a ledger with this key (rule S33). About no VM.
struct LedgerKeyStatement {
  StatementHeader header;
  std::string log;  // the ledger's origin
  Bytes key_spki;   // P-256, SubjectPublicKeyInfo
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_LEDGER_KEY_H_
