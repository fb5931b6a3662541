#ifndef VMATTEST_TOKEN_CLAIM_NAMES_H_
#define VMATTEST_TOKEN_CLAIM_NAMES_H_

// The names of claims, for what writes and what reads them.

namespace vmattest::token {

// RFC 7519 and RFC 9711.
inline constexpr char kIssuedAt[] = "iat";
inline constexpr char kExpires[] = "exp";
inline constexpr char kNotBefore[] = "nbf";
inline constexpr char kTokenId[] = "jti";
inline constexpr char kNonce[] = "eat_nonce";
inline constexpr char kEatProfile[] = "eat_profile";
inline constexpr char kSubmods[] = "submods";
// draft-ietf-rats-ear.
inline constexpr char kVerifierId[] = "ear.verifier-id";
inline constexpr char kDeveloper[] = "developer";
inline constexpr char kBuild[] = "build";
inline constexpr char kStatus[] = "ear.status";
inline constexpr char kTrustVector[] = "ear.trustworthiness-vector";
inline constexpr char kPolicyId[] = "ear.appraisal-policy-id";
// Ours.
inline constexpr char kBinding[] = "vmattest.binding";
inline constexpr char kSignedWith[] = "vmattest.signed-with";
inline constexpr char kVmUuid[] = "vmattest.vm-uuid";
inline constexpr char kHostId[] = "vmattest.host-id";
inline constexpr char kConfigRoot[] = "vmattest.config-root";
inline constexpr char kAk[] = "vmattest.ak";
inline constexpr char kReasons[] = "vmattest.reasons";
inline constexpr char kFixes[] = "vmattest.fixes";
inline constexpr char kCode[] = "code";
inline constexpr char kElement[] = "element";
inline constexpr char kExpected[] = "expected";
inline constexpr char kFound[] = "found";

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_CLAIM_NAMES_H_
