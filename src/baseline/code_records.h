#ifndef VMATTEST_BASELINE_CODE_RECORDS_H_
#define VMATTEST_BASELINE_CODE_RECORDS_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "evidence/statement.h"

// Records "code/kernel" and "code/module/NAME": the hash of each one's code in
// hex, or "unavailable: WHY"; "code/rodata" and "code/module/NAME/rodata": the
// same of their constants. Pure; any thread.

namespace vmattest::baseline {

inline constexpr std::string_view kCodeRecord = "code/";
bool IsMeasuredCode(std::string_view text);

// The code of two snapshots. What it was made of outlives it; by name.
class CodeRecords {
 public:
  CodeRecords(std::span<const evidence::StateRecord> before,
              std::span<const evidence::StateRecord> after)
      : before_(before), after_(after) {}

  // Whether both say something of the kernel: then their code hashes need not
  // be compared, as the records are.
  [[nodiscard]] bool tell() const;
  // Whether the text of a snapshot's part has one code hash in both: parts of
  // the kernel and its symbols, "module/NAME/text". Of others: false.
  [[nodiscard]] bool Same(std::string_view part) const;
  // Whether the constants that a part is of, of the kernel or
  // "module/NAME/...", are the same in both; absent: of one of them nobody
  // knows.
  [[nodiscard]] std::optional<bool> SameConstants(std::string_view part) const;

 private:
  const std::span<const evidence::StateRecord> before_, after_;
};

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_CODE_RECORDS_H_
