#ifndef VMATTEST_DOCUMENT_REASON_CODES_H_
#define VMATTEST_DOCUMENT_REASON_CODES_H_

#include <string_view>

// Every reason code that opening a document can give. Stable.
// docs/formats/documents.md says what each means and what to do (a test
// compares the two lists).

namespace vmattest::document::reason {

inline constexpr std::string_view kMalformed = "document-malformed";
inline constexpr std::string_view kType = "document-type";
inline constexpr std::string_view kSignatureMissing =
    "document-signature-missing";
inline constexpr std::string_view kSignature = "document-signature";
inline constexpr std::string_view kSignerUnknown = "document-signer-unknown";
inline constexpr std::string_view kPqUnchecked = "document-pq-unchecked";

inline constexpr std::string_view kAll[] = {kMalformed,        kType,
                                            kSignatureMissing, kSignature,
                                            kSignerUnknown,    kPqUnchecked};

}  // namespace vmattest::document::reason

#endif  // VMATTEST_DOCUMENT_REASON_CODES_H_
