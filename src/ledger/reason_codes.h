#ifndef VMATTEST_LEDGER_REASON_CODES_H_
#define VMATTEST_LEDGER_REASON_CODES_H_

#include <string_view>

// Every reason for which an entry is refused, on write and again on read.
// Stable. docs/ledger.md says what each means and what to do (a test compares
// the two lists).

namespace vmattest::ledger::reason {

inline constexpr std::string_view kMalformed = "ledger-malformed";
inline constexpr std::string_view kOrigin = "ledger-origin";
inline constexpr std::string_view kWriterUnknown = "ledger-writer-unknown";
inline constexpr std::string_view kWriterRevoked = "ledger-writer-revoked";
inline constexpr std::string_view kKeyExpired = "ledger-key-expired";
inline constexpr std::string_view kSignature = "ledger-signature";
inline constexpr std::string_view kNotPermitted = "ledger-not-permitted";
inline constexpr std::string_view kSequence = "ledger-sequence";
inline constexpr std::string_view kPrevious = "ledger-previous";
inline constexpr std::string_view kClock = "ledger-clock";
inline constexpr std::string_view kVmUnknown = "ledger-vm-unknown";
inline constexpr std::string_view kVmPrevious = "ledger-vm-previous";
inline constexpr std::string_view kVmHome = "ledger-vm-home";
inline constexpr std::string_view kVmIdentity = "ledger-vm-identity";
inline constexpr std::string_view kUnchanged = "ledger-unchanged";
inline constexpr std::string_view kEpoch = "ledger-epoch";
inline constexpr std::string_view kHost = "ledger-host";
inline constexpr std::string_view kRules = "ledger-rules";
inline constexpr std::string_view kStateRoot = "ledger-state-root";

inline constexpr std::string_view kAll[] = {
    kMalformed, kOrigin,       kWriterUnknown, kWriterRevoked, kKeyExpired,
    kSignature, kNotPermitted, kSequence,      kPrevious,      kClock,
    kVmUnknown, kVmPrevious,   kVmHome,        kVmIdentity,    kUnchanged,
    kEpoch,     kHost,         kRules,         kStateRoot};

}  // namespace vmattest::ledger::reason

#endif  // VMATTEST_LEDGER_REASON_CODES_H_
