#ifndef VMATTEST_GATE_JUDGEMENT_H_
#define VMATTEST_GATE_JUDGEMENT_H_

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gate/protocol/messages.h"
#include "reference/reference.h"
#include "token/ear.h"
#include "vmattest/types/verdict.h"

// What one look at a launch came to, before the VM's mode is applied.

namespace vmattest::gate {

struct Judgement {
  bool allowed = false;
  Basis basis = Basis::kNone;
  std::string code;      // of a refusal: docs/gate.md lists them
  std::string sentence;  // for people: what, where, and what would pass
  std::string ear;
};

Judgement Allow(Basis basis, std::string ear = {});
Judgement Deny(std::string_view code, std::string sentence);

// The refusal that a failed step is, told by its status code alone (rule S39):
// DEADLINE_EXCEEDED and CANCELLED are "gate-timeout", else `code`.
Judgement DenyFor(std::string_view code, std::string_view step,
                  const absl::Status& failure);

// Of a check's first reason, and how many more there are.
Judgement DenyFor(const Verdict& verdict);

// Of a verifier's refusal, "gate-refused": the leaf, what was approved, what
// was found, and the smallest change that would pass.
Judgement DenyFor(const token::Ear& ear);
// The same of demands that are not met; at least one.
Judgement DenyFor(std::span<const reference::Finding> findings);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_JUDGEMENT_H_
