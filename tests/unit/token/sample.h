#ifndef VMATTEST_TESTS_UNIT_TOKEN_SAMPLE_H_
#define VMATTEST_TESTS_UNIT_TOKEN_SAMPLE_H_

#include <string>
#include <string_view>

#include "token/ear.h"

namespace vmattest::token {

inline constexpr WallTime kNow{std::chrono::seconds(1795730000)};

// A refused VM's result, with everything that there can be in one.
Ear SampleEar();

// A token with any header and claims, signed ES256 by `key`.
std::string SignAnything(const EcPrivateKey& key, std::string_view header,
                         std::string_view claims);
// ES384, with a key of its own.
struct Es384Token {
  std::string jwt;
  EcPublicKey key;
};
Es384Token SignEs384(std::string_view header, std::string_view claims);

// The code of the first reason; "trusted" if there is none.
std::string CodeOf(const OpenedEar& opened);

}  // namespace vmattest::token

#endif  // VMATTEST_TESTS_UNIT_TOKEN_SAMPLE_H_
