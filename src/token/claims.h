#ifndef VMATTEST_TOKEN_CLAIMS_H_
#define VMATTEST_TOKEN_CLAIMS_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "token/ear.h"

// The payload of a token: the claims of an EAR as JSON;
// docs/formats/attestation-result.md. Pure; any thread.

namespace vmattest::token {

// AR4SI's names, of which a trustworthiness vector's are.
inline constexpr std::array<std::string_view, 8> kTrustClaims = {
    "instance-identity", "configuration",  "executables",    "file-system",
    "hardware",          "runtime-opaque", "storage-opaque", "sourced-data"};

// One text for one EAR.
std::string EncodeClaims(const Ear& ear);

struct ParsedClaims {
  // "token-malformed": not strict JSON; "token-claims": no EAR's.
  std::optional<Reason> problem;
  Ear ear;  // only if there is no problem
};
ParsedClaims ParseClaims(std::string_view payload);

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_CLAIMS_H_
