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
inline constexpr std::string_view kDisclosureMalformed = "disclosure-malformed";
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
inline constexpr std::string_view kKeyRevoked = "key-revoked";
inline constexpr std::string_view kQuoteSignature = "quote-signature";
inline constexpr std::string_view kPqKeyUnknown = "pq-key-unknown";
inline constexpr std::string_view kPqKeyPurpose = "pq-key-purpose";
inline constexpr std::string_view kPqSignature = "pq-signature";
inline constexpr std::string_view kPqUnchecked = "pq-unchecked";

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
inline constexpr std::string_view kSalt = "salt-mismatch";
inline constexpr std::string_view kLeafCount = "leaf-count-mismatch";
inline constexpr std::string_view kLeafOrder = "leaf-order";
inline constexpr std::string_view kLeavesMalformed = "leaves-malformed";
inline constexpr std::string_view kLeavesRoot = "leaves-root-mismatch";
inline constexpr std::string_view kSubtrees = "subtrees-mismatch";
inline constexpr std::string_view kCachedPath = "cached-path-unknown";
inline constexpr std::string_view kStateRoot = "state-root-mismatch";
inline constexpr std::string_view kDisclosureEmpty = "disclosure-empty";
inline constexpr std::string_view kDisclosureDuplicate = "disclosure-duplicate";
inline constexpr std::string_view kDisclosureSalt = "disclosure-salt";
inline constexpr std::string_view kDisclosureRoot = "disclosure-root-mismatch";

// Appraisal policy; there may be several of these.
inline constexpr std::string_view kPcrNotAllowed = "pcr-value-not-allowed";
inline constexpr std::string_view kPayloadTypeUnexpected =
    "payload-type-unexpected";
inline constexpr std::string_view kVmMismatch = "vm-uuid-mismatch";
inline constexpr std::string_view kContentCached = "content-cached";
inline constexpr std::string_view kContentUnavailable = "content-unavailable";
inline constexpr std::string_view kUnmanagedVms = "unmanaged-vms";
inline constexpr std::string_view kSubsetNotApproved = "subset-not-approved";
inline constexpr std::string_view kConsistency = "consistency-too-low";
inline constexpr std::string_view kStateRootUnexpected =
    "state-root-unexpected";
inline constexpr std::string_view kKernelUnexpected = "kernel-unexpected";
inline constexpr std::string_view kCodeHashUnexpected = "code-hash-unexpected";
inline constexpr std::string_view kGuestFinding = "guest-finding";
inline constexpr std::string_view kLeavesKeptBack = "leaves-kept-back";
inline constexpr std::string_view kConfigRoot = "config-root-mismatch";
inline constexpr std::string_view kConfigLeafAdded = "config-leaf-added";
inline constexpr std::string_view kConfigLeafRemoved = "config-leaf-removed";
inline constexpr std::string_view kConfigLeafChanged = "config-leaf-changed";

// The host event log and the firmware's log beside it (VerifyEventLog).
inline constexpr std::string_view kEventLogMalformed = "eventlog-malformed";
inline constexpr std::string_view kEventLogRecordMissing =
    "eventlog-record-missing";
inline constexpr std::string_view kEventLogRecordOrder =
    "eventlog-record-order";
inline constexpr std::string_view kEventLogRecordMalformed =
    "eventlog-record-malformed";
inline constexpr std::string_view kEventLogRecordDigest =
    "eventlog-record-digest";
inline constexpr std::string_view kEventLogBootRecord = "eventlog-boot-record";
inline constexpr std::string_view kEventLogRecordsLost =
    "eventlog-records-lost";
inline constexpr std::string_view kEventLogRecordsShort =
    "eventlog-records-short";
inline constexpr std::string_view kEventLogHead = "eventlog-head-mismatch";
inline constexpr std::string_view kEventLogAnchorUnknown =
    "eventlog-anchor-unknown";
inline constexpr std::string_view kEventLogAnchorMalformed =
    "eventlog-anchor-malformed";
inline constexpr std::string_view kEventLogAnchorIndex =
    "eventlog-anchor-index";
inline constexpr std::string_view kEventLogAnchorAttributes =
    "eventlog-anchor-attributes";
inline constexpr std::string_view kEventLogAnchorSignature =
    "eventlog-anchor-signature";
inline constexpr std::string_view kEventLogAnchorNonce =
    "eventlog-anchor-nonce";
inline constexpr std::string_view kEventLogAnchorClock =
    "eventlog-anchor-clock";
inline constexpr std::string_view kEventLogAnchorBehind =
    "eventlog-anchor-behind";
inline constexpr std::string_view kEventLogAnchorContents =
    "eventlog-anchor-contents";
inline constexpr std::string_view kEventLogPcr = "eventlog-pcr-mismatch";
inline constexpr std::string_view kEventLogRecordsUncovered =
    "eventlog-records-uncovered";
inline constexpr std::string_view kBootLogDigest = "boot-log-digest";
inline constexpr std::string_view kBootLogMalformed = "boot-log-malformed";
inline constexpr std::string_view kBootLogBank = "boot-log-bank";
inline constexpr std::string_view kBootLogPcr = "boot-log-pcr-mismatch";
inline constexpr std::string_view kBootLogSeparator = "boot-log-separator";

// A check that ended without saying that it passed (rule S39).
inline constexpr std::string_view kCheckIncomplete = "check-incomplete";

inline constexpr std::string_view kAll[] = {
    kEvidenceMalformed,
    kDisclosureMalformed,
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
    kKeyRevoked,
    kQuoteSignature,
    kPqKeyUnknown,
    kPqKeyPurpose,
    kPqSignature,
    kPqUnchecked,
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
    kSalt,
    kLeafCount,
    kLeafOrder,
    kLeavesMalformed,
    kLeavesRoot,
    kSubtrees,
    kCachedPath,
    kStateRoot,
    kDisclosureEmpty,
    kDisclosureDuplicate,
    kDisclosureSalt,
    kDisclosureRoot,
    kPcrNotAllowed,
    kPayloadTypeUnexpected,
    kVmMismatch,
    kContentCached,
    kContentUnavailable,
    kUnmanagedVms,
    kSubsetNotApproved,
    kConsistency,
    kStateRootUnexpected,
    kKernelUnexpected,
    kCodeHashUnexpected,
    kGuestFinding,
    kLeavesKeptBack,
    kConfigRoot,
    kConfigLeafAdded,
    kConfigLeafRemoved,
    kConfigLeafChanged,
    kEventLogMalformed,
    kEventLogRecordMissing,
    kEventLogRecordOrder,
    kEventLogRecordMalformed,
    kEventLogRecordDigest,
    kEventLogBootRecord,
    kEventLogRecordsLost,
    kEventLogRecordsShort,
    kEventLogHead,
    kEventLogAnchorUnknown,
    kEventLogAnchorMalformed,
    kEventLogAnchorIndex,
    kEventLogAnchorAttributes,
    kEventLogAnchorSignature,
    kEventLogAnchorNonce,
    kEventLogAnchorClock,
    kEventLogAnchorBehind,
    kEventLogAnchorContents,
    kEventLogPcr,
    kEventLogRecordsUncovered,
    kBootLogDigest,
    kBootLogMalformed,
    kBootLogBank,
    kBootLogPcr,
    kBootLogSeparator,
    kCheckIncomplete,
};

}  // namespace vmattest::verifier::reason

#endif  // VMATTEST_VERIFIER_REASON_CODES_H_
