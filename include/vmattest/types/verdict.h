#ifndef VMATTEST_TYPES_VERDICT_H_
#define VMATTEST_TYPES_VERDICT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmattest {

// One thing that is not as it must be. `code` is stable and kebab-case
// (docs/formats/evidence.md lists them all); the other texts are for people.
struct Reason {
  std::string code;      // "config-root-mismatch"
  std::string element;   // what exactly: a field, a leaf's path, a PCR
  std::string expected;  // empty where there is nothing to expect
  std::string found;
};

// The outcome of an appraisal. A value, never an error: not being able to
// decide is an absl::Status instead. Anything that is not an explicit pass is
// a failure (rule S39), so a default-constructed verdict is not trusted.
struct Verdict {
  enum class Outcome : uint8_t { kNotTrusted, kTrusted };
  Outcome outcome = Outcome::kNotTrusted;
  // In the order of the checks; the first is the one to act on. Empty if and
  // only if trusted.
  std::vector<Reason> reasons;

  [[nodiscard]] bool trusted() const { return outcome == Outcome::kTrusted; }
};

}  // namespace vmattest

#endif  // VMATTEST_TYPES_VERDICT_H_
