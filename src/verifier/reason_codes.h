#ifndef VMATTEST_VERIFIER_REASON_CODES_H_
#define VMATTEST_VERIFIER_REASON_CODES_H_

#include <string_view>

// Every reason code that an appraisal of evidence can give, in the order of
// the checks. Stable: once released, a code keeps its name and its meaning.
// docs/formats/evidence.md says what each means and what to do (a test
// compares the two lists).

namespace vmattest::verifier::reason {

// Structure.
inline constexpr std::string_view kEvidenceMalformed = "evidence-malformed";
inline constexpr std::string_view kPayloadTypeUnknown = "payload-type-unknown";
inline constexpr std::string_view kStatementMalformed = "statement-malformed";
inline constexpr std::string_view kStatementVersion = "statement-version";
inline constexpr std::string_view kSignatureUnknown =
    "signature-algorithm-unknown";
inline constexpr std::string_view kSignatureDuplicate = "signature-duplicate";
inline constexpr std::string_view kSignatureMissing = "signature-missing";
inline constexpr std::string_view kSignatureUnlisted = "signature-unlisted";
inline constexpr std::string_view kSignatureOrder = "signature-order";
inline constexpr std::string_view kSignatureBody = "signature-body-mismatch";
inline constexpr std::string_view kSignatureRequired =
    "signature-required-missing";
inline constexpr std::string_view kQuoteMalformed = "quote-malformed";
inline constexpr std::string_view kQuoteSignatureMalformed =
    "quote-signature-malformed";
inline constexpr std::string_view kKeyMissing = "key-missing";
inline constexpr std::string_view kKeyUnused = "key-unused";

// Signatures and key chain.
inline constexpr std::string_view kHostUnknown = "host-unknown";
inline constexpr std::string_view kKeyPurpose = "key-purpose-mismatch";
inline constexpr std::string_view kKeyMalformed = "key-malformed";
inline constexpr std::string_view kKeyReused = "key-reused";
inline constexpr std::string_view kKeyAttributes = "key-attributes";
inline constexpr std::string_view kCertificationMalformed =
    "key-certification-malformed";
inline constexpr std::string_view kCertificationSignature =
    "key-certification-signature";
inline constexpr std::string_view kCertificationMagic =
    "key-certification-magic";
inline constexpr std::string_view kCertificationType = "key-certification-type";
inline constexpr std::string_view kCertificationSigner =
    "key-certification-signer";
inline constexpr std::string_view kCertificationPurpose =
    "key-certification-purpose";
inline constexpr std::string_view kCertificationName = "key-certification-name";
inline constexpr std::string_view kSignatureKeyUnknown =
    "signature-key-unknown";
inline constexpr std::string_view kQuoteSignature = "quote-signature";

// TPM structure.
inline constexpr std::string_view kQuoteMagic = "quote-magic";
inline constexpr std::string_view kQuoteType = "quote-type";
inline constexpr std::string_view kQuoteSigner = "quote-signer";

// PCRs.
inline constexpr std::string_view kPcrSelectionEmpty = "pcr-selection-empty";
inline constexpr std::string_view kPcrBank = "pcr-bank-unsupported";
inline constexpr std::string_view kPcrRequired = "pcr-required-missing";
inline constexpr std::string_view kPcrValueMissing = "pcr-value-missing";
inline constexpr std::string_view kPcrValueUnselected = "pcr-value-unselected";
inline constexpr std::string_view kPcrValueSize = "pcr-value-size";
inline constexpr std::string_view kPcrDigest = "pcr-digest-mismatch";
inline constexpr std::string_view kPcrUnmeasured = "pcr-bank-unmeasured";

// Clock.
inline constexpr std::string_view kClockReset = "clock-reset";
inline constexpr std::string_view kClockRestart = "clock-restart";
inline constexpr std::string_view kClockBackwards = "clock-backwards";
inline constexpr std::string_view kMeasurementTooOld = "measurement-too-old";

// Nonce and time window.
inline constexpr std::string_view kNonceMismatch = "nonce-mismatch";
inline constexpr std::string_view kTimeInFuture = "time-in-future";
inline constexpr std::string_view kTimeTooOld = "time-too-old";

// Batch path.
inline constexpr std::string_view kBatchPathMalformed = "batch-path-malformed";
inline constexpr std::string_view kBatchRoot = "batch-root-mismatch";

// The statement's own checks.
inline constexpr std::string_view kStatementField = "statement-field-invalid";
inline constexpr std::string_view kSchemaUnsupported = "schema-unsupported";
inline constexpr std::string_view kSaltUnsupported = "salt-unsupported";
inline constexpr std::string_view kLeafCount = "leaf-count-mismatch";
inline constexpr std::string_view kLeafOrder = "leaf-order";
inline constexpr std::string_view kLeavesMalformed = "leaves-malformed";
inline constexpr std::string_view kLeavesRoot = "leaves-root-mismatch";
inline constexpr std::string_view kCachedPath = "cached-path-unknown";

// Appraisal policy; there may be several of these.
inline constexpr std::string_view kPcrNotAllowed = "pcr-value-not-allowed";
inline constexpr std::string_view kVmMismatch = "vm-uuid-mismatch";
inline constexpr std::string_view kContentCached = "content-cached";
inline constexpr std::string_view kConfigRoot = "config-root-mismatch";
inline constexpr std::string_view kConfigLeafAdded = "config-leaf-added";
inline constexpr std::string_view kConfigLeafRemoved = "config-leaf-removed";
inline constexpr std::string_view kConfigLeafChanged = "config-leaf-changed";

// A check that ended without saying that it passed (rule S39).
inline constexpr std::string_view kCheckIncomplete = "check-incomplete";

inline constexpr std::string_view kAll[] = {
    kEvidenceMalformed,
    kPayloadTypeUnknown,
    kStatementMalformed,
    kStatementVersion,
    kSignatureUnknown,
    kSignatureDuplicate,
    kSignatureMissing,
    kSignatureUnlisted,
    kSignatureOrder,
    kSignatureBody,
    kSignatureRequired,
    kQuoteMalformed,
    kQuoteSignatureMalformed,
    kKeyMissing,
    kKeyUnused,
    kHostUnknown,
    kKeyPurpose,
    kKeyMalformed,
    kKeyReused,
    kKeyAttributes,
    kCertificationMalformed,
    kCertificationSignature,
    kCertificationMagic,
    kCertificationType,
    kCertificationSigner,
    kCertificationPurpose,
    kCertificationName,
    kSignatureKeyUnknown,
    kQuoteSignature,
    kQuoteMagic,
    kQuoteType,
    kQuoteSigner,
    kPcrSelectionEmpty,
    kPcrBank,
    kPcrRequired,
    kPcrValueMissing,
    kPcrValueUnselected,
    kPcrValueSize,
    kPcrDigest,
    kPcrUnmeasured,
    kClockReset,
    kClockRestart,
    kClockBackwards,
    kMeasurementTooOld,
    kNonceMismatch,
    kTimeInFuture,
    kTimeTooOld,
    kBatchPathMalformed,
    kBatchRoot,
    kStatementField,
    kSchemaUnsupported,
    kSaltUnsupported,
    kLeafCount,
    kLeafOrder,
    kLeavesMalformed,
    kLeavesRoot,
    kCachedPath,
    kPcrNotAllowed,
    kVmMismatch,
    kContentCached,
    kConfigRoot,
    kConfigLeafAdded,
    kConfigLeafRemoved,
    kConfigLeafChanged,
    kCheckIncomplete,
};

}  // namespace vmattest::verifier::reason

#endif  // VMATTEST_VERIFIER_REASON_CODES_H_
