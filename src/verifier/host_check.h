#ifndef VMATTEST_VERIFIER_HOST_CHECK_H_
#define VMATTEST_VERIFIER_HOST_CHECK_H_

#include <string_view>
#include <vector>

#include "verifier/key_certification.h"

// The one place where a host identity is judged: by anchors when they are
// loaded, by enrolment before a credential is made (rule S9). Callable from
// any thread.

namespace vmattest::verifier {

// Codes of what is not about one key; the others are those of
// verifier/reason_codes.h ("key-...").
inline constexpr std::string_view kHostIdMismatch = "host-id-mismatch";
inline constexpr std::string_view kEkMalformed = "ek-malformed";
inline constexpr std::string_view kAkMalformed = "ak-malformed";
inline constexpr std::string_view kPqKeyRefused = "pq-key-refused";

// Whether the identity is consistent: host id is the EK's name; the AK is a
// restricted signing key (sign, not decrypt, fixedTPM, fixedParent,
// sensitiveDataOrigin) of its own; every key and revocation is the AK's word
// for one purpose. Says nothing about who the host is. Fills `host`, which
// means something only after a pass.
CheckResult CheckHostIdentity(evidence::HostIdentity identity,
                              Anchors::Host& host);

// Parts of it: adds to what is known of a host whose EK and AK were checked.
CheckResult AddKeys(const std::vector<evidence::KeyCertification>& keys,
                    Anchors::Host& host);
CheckResult AddRevocations(
    const std::vector<evidence::KeyRevocation>& revocations,
    Anchors::Host& host);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_HOST_CHECK_H_
