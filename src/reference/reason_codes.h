#ifndef VMATTEST_REFERENCE_REASON_CODES_H_
#define VMATTEST_REFERENCE_REASON_CODES_H_

#include <string_view>

// Every reason code that the comparison with reference values can give, here
// and in appraisal/. Stable. docs/references.md says what each means and what
// to do (a test compares the two lists).

namespace vmattest::reference::reason {

// Of a document that is looked at by itself.
inline constexpr std::string_view kNotValid = "reference-not-valid";
// Of the appraisal, before any leaf is looked at.
inline constexpr std::string_view kNone = "reference-none";
inline constexpr std::string_view kHostRequested = "reference-host-requested";
inline constexpr std::string_view kHost = "reference-host";
inline constexpr std::string_view kAlgorithm = "reference-algorithm";
inline constexpr std::string_view kContent = "reference-content";
inline constexpr std::string_view kInside = "reference-inside";
// Of the configuration.
inline constexpr std::string_view kNeedsLeaves = "reference-needs-leaves";
inline constexpr std::string_view kLeafChanged = "reference-leaf-changed";
inline constexpr std::string_view kLeafMissing = "reference-leaf-missing";
inline constexpr std::string_view kLeafAdded = "reference-leaf-added";
inline constexpr std::string_view kLeafForbidden = "reference-leaf-forbidden";
inline constexpr std::string_view kLeafRange = "reference-leaf-range";
inline constexpr std::string_view kLeafUnavailable =
    "reference-leaf-unavailable";
inline constexpr std::string_view kRoot = "reference-root";
// In an attestation result that could not hold them all.
inline constexpr std::string_view kMore = "reference-more";

inline constexpr std::string_view kAll[] = {kNotValid,      kNone,
                                            kHostRequested, kHost,
                                            kAlgorithm,     kContent,
                                            kInside,        kNeedsLeaves,
                                            kLeafChanged,   kLeafMissing,
                                            kLeafAdded,     kLeafForbidden,
                                            kLeafRange,     kLeafUnavailable,
                                            kRoot,          kMore};

}  // namespace vmattest::reference::reason

#endif  // VMATTEST_REFERENCE_REASON_CODES_H_
