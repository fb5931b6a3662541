#ifndef VMATTEST_BASELINE_DIFFERENCE_H_
#define VMATTEST_BASELINE_DIFFERENCE_H_

#include <string>
#include <string_view>
#include <vector>

#include "baseline/delta.h"
#include "snapshot/policy.h"

// What changed since the baseline, by name, and how bad that is
// (docs/memory.md). Pure; any thread.

namespace vmattest::baseline {

// What kind of change; decides with the region's severity how bad it is.
enum class Kind : uint8_t {
  kCode,           // what runs
  kConstant,       // what a running kernel does not change
  kData,           // settings, identities, bytes without a meaning
  kSelfModified,   // the kernel's own: static keys, alternatives, ftrace,
                   // paravirt calls; proved by the code hash
  kPerBoot,        // differs in every boot: relocations, random seeds
  kExpected,       // what running systems do: processes come, modules load
  kUnmeasured,     // could not be looked at this time
  kContradiction,  // two views of one thing
};
std::string_view ToString(Kind kind);  // "code", ... "self-modified"

struct Difference {
  std::string_view code;  // reason_codes.h
  Kind kind = Kind::kData;
  snapshot::Severity severity = snapshot::Severity::kInfo;
  uint64_t extent = 1;   // pages, or entries
  std::string group;     // region, "records/syscall", "finding/code-unknown"
  std::string element;   // "kernel: kernel/text+0x3000"
  std::string expected;  // empty: it was not there
  std::string found;
};

// "critical first, then as they were found": for people.
void SortByGravity(std::vector<Difference>& differences);

// A region's change by parts, or by runs of pages where it has none. Pages of a
// kernel's text count as the kernel's own changes only if both snapshots have
// the same code hash. At most kMostNamed of one region are told apart, the rest
// is one difference.
inline constexpr size_t kMostNamed = 64;
std::vector<Difference> CompareSnapshot(
    const LoadedBaseline& baseline, const evidence::StateStatement& statement,
    const Applied& applied);

// INVALID_ARGUMENT: none of "info" ... "critical".
absl::StatusOr<snapshot::Severity> ParseSeverity(std::string_view name);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_DIFFERENCE_H_
