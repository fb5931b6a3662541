#ifndef VMATTEST_TOKEN_JWS_H_
#define VMATTEST_TOKEN_JWS_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "token/ear.h"

// JWS compact serialisation (RFC 7515, section 7.1). Pure; any thread.

namespace vmattest::token {

// RFC 9782: the token is an EAT, so it is nothing else (RFC 8725, 3.11).
inline constexpr std::string_view kTokenType = "eat+jwt";

// What is signed: header and payload, encoded and joined.
std::string SigningInput(std::string_view algorithm, std::string_view key_id,
                         std::string_view payload);
std::string Join(std::string_view signing_input, ByteView signature);

struct OpenedJws {
  std::optional<Reason> problem;  // as VerifyEar() has them
  std::string payload;            // only if there is no problem
};
OpenedJws OpenJws(std::string_view jws, std::span<const VerificationKey> keys);

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_JWS_H_
