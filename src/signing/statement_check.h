#ifndef VMATTEST_SIGNING_STATEMENT_CHECK_H_
#define VMATTEST_SIGNING_STATEMENT_CHECK_H_

#include <string_view>

#include "base/bytes.h"
#include "signing/signer.h"

namespace vmattest::signing {

// Whether `payload` may be signed by a host in that state: Signer::Seal has the
// errors. Returns the purpose of the key that signs it. Pure; any thread.
absl::StatusOr<KeyPurpose> CheckStatement(std::string_view payload_type,
                                          ByteView payload,
                                          const SignerState& state);

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_STATEMENT_CHECK_H_
