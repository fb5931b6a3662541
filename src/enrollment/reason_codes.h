#ifndef VMATTEST_ENROLLMENT_REASON_CODES_H_
#define VMATTEST_ENROLLMENT_REASON_CODES_H_

#include <string_view>

// Every reason code with which enrolment refuses a host, in the order of the
// checks. Stable: once released, a code keeps its name and its meaning.
// docs/formats/enrollment.md says what each means and what to do (a test
// compares the two lists).

namespace vmattest::enrollment::reason {

// Of the identity, by CheckIdentity. Those about a key are the verifier's own
// codes with "identity-" before them: it is the same check.
inline constexpr std::string_view kIdentityPrefix = "identity-";
inline constexpr std::string_view kIdentityHostId = "identity-host-id-mismatch";
inline constexpr std::string_view kIdentityEkMalformed =
    "identity-ek-malformed";
inline constexpr std::string_view kIdentityEkTemplate = "identity-ek-template";
inline constexpr std::string_view kIdentityAkMalformed =
    "identity-ak-malformed";
inline constexpr std::string_view kIdentityKeyAttributes =
    "identity-key-attributes";
inline constexpr std::string_view kIdentityKeyMalformed =
    "identity-key-malformed";
inline constexpr std::string_view kIdentityKeyReused = "identity-key-reused";
inline constexpr std::string_view kIdentityKeyDuplicate =
    "identity-key-duplicate";
inline constexpr std::string_view kIdentityPqKey = "identity-pq-key-refused";
inline constexpr std::string_view kIdentityCheckIncomplete =
    "identity-check-incomplete";

// Of the EK's certificate, by CheckEkCertificate.
inline constexpr std::string_view kCertificateMissing =
    "ek-certificate-missing";
inline constexpr std::string_view kCertificateMalformed =
    "ek-certificate-malformed";
inline constexpr std::string_view kCertificateKey = "ek-certificate-key";
inline constexpr std::string_view kCertificateChain = "ek-certificate-chain";
inline constexpr std::string_view kCertificateNotYet = "ek-certificate-not-yet";
inline constexpr std::string_view kCertificateUsage = "ek-certificate-usage";

inline constexpr std::string_view kAll[] = {
    kIdentityHostId,
    kIdentityEkMalformed,
    kIdentityAkMalformed,
    kIdentityKeyAttributes,
    kIdentityKeyMalformed,
    kIdentityKeyReused,
    "identity-key-certification-malformed",
    "identity-key-certification-signature",
    "identity-key-certification-magic",
    "identity-key-certification-type",
    "identity-key-certification-signer",
    "identity-key-certification-purpose",
    "identity-key-certification-name",
    kIdentityPqKey,
    kIdentityEkTemplate,
    kIdentityKeyDuplicate,
    kIdentityCheckIncomplete,
    kCertificateMissing,
    kCertificateMalformed,
    kCertificateKey,
    kCertificateChain,
    kCertificateNotYet,
    kCertificateUsage,
};

}  // namespace vmattest::enrollment::reason

#endif  // VMATTEST_ENROLLMENT_REASON_CODES_H_
