#ifndef VMATTEST_LEDGER_SCORE_RULES_H_
#define VMATTEST_LEDGER_SCORE_RULES_H_

#include "trust/score.h"
#include "vmattest/v1/ledger_entry.pb.h"

namespace vmattest::ledger {

// The rules of the score as a policy entry carries them. Callable from any
// thread.
trust::ScoreRules FromMessage(const v1::LedgerScoreRules& message);
// Valid, and each weight once, in order.
bool AreRules(const v1::LedgerScoreRules& message);
v1::LedgerScoreRules ToMessage(const trust::ScoreRules& rules);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_SCORE_RULES_H_
