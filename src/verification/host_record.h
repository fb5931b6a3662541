#ifndef VMATTEST_VERIFICATION_HOST_RECORD_H_
#define VMATTEST_VERIFICATION_HOST_RECORD_H_

#include <chrono>

#include "base/clock.h"
#include "base/status.h"
#include "document/document.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// How long the authority's word about a host holds; it is renewed whenever the
// host's entry is written, and when a host asks after half of it.
inline constexpr std::chrono::hours kHostRecordLifetime{24 * 400};

// A serialised v1.SignedDocument: the authority's word about `host`, whose
// identity, trust and revocation it takes. INTERNAL: the identity does not
// parse, or as document::PrivateKey::Sign.
absl::StatusOr<Bytes> SignHostRecord(const HostEntry& host,
                                     const document::PrivateKey& authority,
                                     WallTime now);

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_HOST_RECORD_H_
