#include "ledger/score_rules.h"

#include <algorithm>

namespace vmattest::ledger {

trust::ScoreRules FromMessage(const v1::LedgerScoreRules& message) {
  trust::ScoreRules rules{.version = message.version(),
                          .start = message.start(),
                          .cap = message.cap(),
                          .floor = message.floor(),
                          .pass_credit = message.pass_credit(),
                          .fail_debit = message.fail_debit(),
                          .decay_per_hour = message.decay_per_hour(),
                          .credit_interval_ms = message.credit_interval_ms(),
                          .grace_ms = message.grace_ms(),
                          .compromise_vms = message.compromise_vms(),
                          .compromise_owners = message.compromise_owners(),
                          .window_fails = message.window_fails(),
                          .window_ms = message.window_ms(),
                          .compromise_keeps = message.compromise_keeps(),
                          .free = message.free(),
                          .checked = message.checked(),
                          .weights = {}};
  for (const v1::LedgerScoreWeight& weight : message.weights()) {
    rules.weights[weight.reason()] = weight.debit();
  }
  return rules;
}

bool AreRules(const v1::LedgerScoreRules& message) {
  const auto& weights = message.weights();
  return std::adjacent_find(weights.begin(), weights.end(),
                            [](const auto& a, const auto& b) {
                              return a.reason() >= b.reason();
                            }) == weights.end() &&
         trust::AreValid(FromMessage(message));
}

v1::LedgerScoreRules ToMessage(const trust::ScoreRules& rules) {
  v1::LedgerScoreRules message;
  message.set_version(rules.version);
  message.set_start(rules.start);
  message.set_cap(rules.cap);
  message.set_floor(rules.floor);
  message.set_pass_credit(rules.pass_credit);
  message.set_fail_debit(rules.fail_debit);
  message.set_decay_per_hour(rules.decay_per_hour);
  message.set_credit_interval_ms(rules.credit_interval_ms);
  message.set_grace_ms(rules.grace_ms);
  message.set_compromise_vms(rules.compromise_vms);
  message.set_compromise_owners(rules.compromise_owners);
  message.set_window_fails(rules.window_fails);
  message.set_window_ms(rules.window_ms);
  message.set_compromise_keeps(rules.compromise_keeps);
  message.set_free(rules.free);
  message.set_checked(rules.checked);
  for (const auto& [reason, debit] : rules.weights) {
    v1::LedgerScoreWeight& weight = *message.add_weights();
    weight.set_reason(reason);
    weight.set_debit(debit);
  }
  return message;
}

}  // namespace vmattest::ledger
