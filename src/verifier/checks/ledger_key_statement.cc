#include "crypto/ecdsa_der.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckLedgerKeyStatement(const Context& context) {
  const evidence::LedgerKeyStatement& statement = *context.ledger_key;
  if (!statement.header.vm_uuid.empty()) {
    return CheckResult::Fail(reason::kStatementField,
                             "statement.header.vm_uuid", "none: about a host",
                             statement.header.vm_uuid);
  }
  if (!ParseP256Spki(statement.key_spki).ok()) {
    return CheckResult::Fail(reason::kStatementField, "statement.key_spki",
                             "SubjectPublicKeyInfo of P-256",
                             ToHex(statement.key_spki));
  }
  if (!context.evidence.leaves.empty() || !context.evidence.subtrees.empty() ||
      !context.evidence.vm_salt.empty() || context.disclosed) {
    return CheckResult::Fail(reason::kStatementField, "leaves",
                             "none: it is about a key", "some");
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
