#include <fmt/chrono.h>
#include <fmt/format.h>

#include "token/claims.h"
#include "token/jws.h"
#include "token/shown.h"

namespace vmattest::token {
namespace {

using std::chrono::seconds;

std::string Text(WallTime time) {
  return fmt::format("{:%FT%TZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(
                         std::chrono::floor<seconds>(time))));
}

void CheckTimes(const Ear& ear, const VerifyOptions& options,
                std::vector<Reason>* reasons) {
  if (ear.expires && options.now >= *ear.expires + options.leeway) {
    reasons->push_back({.code = "token-expired",
                        .element = "exp",
                        .expected = "after " + Text(options.now),
                        .found = Text(*ear.expires)});
  }
  if (!ear.expires && options.require_expiry) {
    reasons->push_back({.code = "token-expired",
                        .element = "exp",
                        .expected = "a time",
                        .found = "nothing"});
  }
  const std::pair<const char*, std::optional<WallTime>> begins[] = {
      {"nbf", ear.not_before}, {"iat", ear.issued}};
  for (const auto& [claim, time] : begins) {
    if (time && options.now + options.leeway < *time) {
      reasons->push_back({.code = "token-not-yet",
                          .element = claim,
                          .expected = "not after " + Text(options.now),
                          .found = Text(*time)});
    }
  }
}

std::vector<Reason> Check(const Ear& ear, const VerifyOptions& options) {
  std::vector<Reason> reasons;
  CheckTimes(ear, options, &reasons);
  if (options.nonce && !ConstantTimeEqual(*options.nonce, ear.nonce)) {
    reasons.push_back(
        {.code = "token-nonce",
         .element = "eat_nonce",
         .expected = ToHex(*options.nonce),
         .found = ear.nonce.empty() ? "nothing" : ToHex(ear.nonce)});
  }
  if (options.profile && *options.profile != ear.profile) {
    reasons.push_back({.code = "token-profile",
                       .element = "eat_profile",
                       .expected = *options.profile,
                       .found = Shown(ear.profile)});
  }
  return reasons;
}

}  // namespace

OpenedEar VerifyEar(std::string_view jwt, std::span<const VerificationKey> keys,
                    const VerifyOptions& options) {
  OpenedEar result;
  OpenedJws jws = OpenJws(jwt, keys);
  if (jws.problem) {
    result.verdict.reasons.push_back(*std::move(jws.problem));
    return result;
  }
  ParsedClaims claims = ParseClaims(jws.payload);
  if (claims.problem) {
    result.verdict.reasons.push_back(*std::move(claims.problem));
    return result;
  }
  result.verdict.reasons = Check(claims.ear, options);
  if (result.verdict.reasons.empty()) {
    result.verdict.outcome = Verdict::Outcome::kTrusted;
    result.ear = std::move(claims.ear);
  }
  return result;
}

}  // namespace vmattest::token
