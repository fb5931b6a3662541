#ifndef VMATTEST_VERIFIER_SEALED_SEED_H_
#define VMATTEST_VERIFIER_SEALED_SEED_H_

#include "base/status.h"
#include "verifier/key_certification.h"

namespace vmattest::verifier {

// Adds the post-quantum keys of `identity` to what is known of `host`, whose
// AK and EK are checked already. Each must be a seed that this host's TPM
// sealed for the identity's seal authority (rule S3), certified by the AK, and
// belong to one purpose, epoch and algorithm alone (rule S2).
// INVALID_ARGUMENT names purpose, epoch and what is wrong.
absl::Status AddPqKeys(const evidence::HostIdentity& identity,
                       Anchors::Host& host);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_SEALED_SEED_H_
