#ifndef VMATTEST_BASELINE_REASON_CODES_H_
#define VMATTEST_BASELINE_REASON_CODES_H_

#include <string_view>

// Every reason code that comparing a snapshot can give. Stable.
// docs/memory.md says what each means (a test compares the two lists).

namespace vmattest::baseline::reason {

// Nothing could be compared.
inline constexpr std::string_view kNone = "baseline-none";
inline constexpr std::string_view kSubset = "baseline-subset";
inline constexpr std::string_view kOtherRun = "baseline-other-run";
inline constexpr std::string_view kDeltaMalformed = "delta-malformed";
inline constexpr std::string_view kDeltaUnproved = "delta-unproved";
// It was compared.
inline constexpr std::string_view kScore = "baseline-score";
inline constexpr std::string_view kMemory = "memory-changed";
inline constexpr std::string_view kMoved = "memory-moved";
inline constexpr std::string_view kUnavailable = "memory-unavailable";
inline constexpr std::string_view kRecord = "record-changed";
inline constexpr std::string_view kFinding = "finding";
inline constexpr std::string_view kCodeHash = "code-hash";
inline constexpr std::string_view kKernel = "kernel-changed";
// What the host sees contradicts what it was told.
inline constexpr std::string_view kCrossViewCmdline = "cross-view-cmdline";
inline constexpr std::string_view kCrossViewKernelRelease =
    "cross-view-kernel-release";
inline constexpr std::string_view kCrossViewModules = "cross-view-modules";
inline constexpr std::string_view kCrossViewTasks = "cross-view-tasks";
// Told, but what could have contradicted did not come in an order that counts.
inline constexpr std::string_view kCrossViewOrder = "cross-view-order";

inline constexpr std::string_view kAll[] = {kNone,
                                            kSubset,
                                            kOtherRun,
                                            kDeltaMalformed,
                                            kDeltaUnproved,
                                            kScore,
                                            kMemory,
                                            kMoved,
                                            kUnavailable,
                                            kRecord,
                                            kFinding,
                                            kCodeHash,
                                            kKernel,
                                            kCrossViewCmdline,
                                            kCrossViewKernelRelease,
                                            kCrossViewModules,
                                            kCrossViewTasks,
                                            kCrossViewOrder};

}  // namespace vmattest::baseline::reason

#endif  // VMATTEST_BASELINE_REASON_CODES_H_
