#include "token/jws.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/base64.h"
#include "base/strict_json.h"
#include "token/key.h"
#include "token/shown.h"

namespace vmattest::token {
namespace {

using nlohmann::json;

OpenedJws Refuse(std::string_view code, std::string_view element,
                 std::string_view expected, std::string found) {
  return {.problem = Reason{.code = std::string(code),
                            .element = std::string(element),
                            .expected = std::string(expected),
                            .found = std::move(found)},
          .payload = ""};
}

OpenedJws Malformed(std::string_view element, std::string_view expected,
                    std::string found = "") {
  return Refuse("token-malformed", element, expected, std::move(found));
}

struct Parts {
  std::string_view signing_input;
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
};

std::optional<Parts> Split(std::string_view jws) {
  if (std::count(jws.begin(), jws.end(), '.') != 2) {
    return std::nullopt;
  }
  const size_t first = jws.find('.');
  const size_t second = jws.rfind('.');
  return Parts{.signing_input = jws.substr(0, second),
               .header = jws.substr(0, first),
               .payload = jws.substr(first + 1, second - first - 1),
               .signature = jws.substr(second + 1)};
}

bool IsTokenType(std::string type) {
  for (char& c : type) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return type == kTokenType || type == "application/eat+jwt" || type == "jwt";
}

struct Header {
  std::string algorithm;
  std::optional<std::string> key_id;
};

// Nothing but these members is looked at: a key that a header carries or points
// to (jwk, jku, x5c, x5u) is whoever's wrote it.
std::optional<OpenedJws> ReadHeader(std::string_view encoded, Header* header) {
  const absl::StatusOr<Bytes> bytes = ParseBase64Url(encoded);
  if (!bytes.ok()) {
    return Malformed("header", "base64url without padding");
  }
  const absl::StatusOr<json> parsed = ParseStrictJson(AsText(*bytes));
  if (!parsed.ok()) {
    return Malformed("header", "strict JSON",
                     Shown(std::string(parsed.status().message())));
  }
  const auto alg = parsed->find("alg");
  if (alg == parsed->end() || !alg->is_string()) {
    return Malformed("header.alg", "text");
  }
  if (parsed->contains("crit")) {
    return Malformed("header.crit", "nothing: no extension is understood");
  }
  const auto typ = parsed->find("typ");
  if (typ != parsed->end() &&
      (!typ->is_string() || !IsTokenType(typ->get<std::string>()))) {
    return Malformed("header.typ", kTokenType, Shown(*typ));
  }
  const auto kid = parsed->find("kid");
  if (kid != parsed->end()) {
    if (!kid->is_string()) {
      return Malformed("header.kid", "text", Shown(*kid));
    }
    header->key_id = kid->get<std::string>();
  }
  header->algorithm = alg->get<std::string>();
  return std::nullopt;
}

// The keys that may have signed it: named so, if it names one, and of its
// algorithm, which is a key's and never the header's to choose.
std::optional<OpenedJws> ChooseKeys(const Header& header,
                                    std::span<const VerificationKey> keys,
                                    std::vector<const VerificationKey*>* out) {
  if (std::find(std::begin(kAlgorithms), std::end(kAlgorithms),
                header.algorithm) == std::end(kAlgorithms)) {
    return Refuse("token-algorithm", "header.alg",
                  fmt::format("{}", fmt::join(kAlgorithms, ", ")),
                  Shown(header.algorithm));
  }
  std::string algorithms;
  for (const VerificationKey& key : keys) {
    if (header.key_id && !key.IsNamed(*header.key_id)) {
      continue;
    }
    if (key.algorithm() == header.algorithm) {
      out->push_back(&key);
    } else if (algorithms.find(key.algorithm()) == std::string::npos) {
      algorithms += (algorithms.empty() ? "" : ", ");
      algorithms += key.algorithm();
    }
  }
  if (!out->empty()) {
    return std::nullopt;
  }
  if (!algorithms.empty()) {
    return Refuse("token-algorithm", "header.alg", algorithms,
                  header.algorithm);
  }
  return Refuse("token-key-unknown", "header.kid", "a known key",
                header.key_id ? Shown(*header.key_id) : "nothing");
}

}  // namespace

std::string SigningInput(std::string_view algorithm, std::string_view key_id,
                         std::string_view payload) {
  const std::string header = fmt::format(
      R"({{"alg":"{}","kid":"{}","typ":"{}"}})", algorithm, key_id, kTokenType);
  return fmt::format("{}.{}", ToBase64Url(AsBytes(header)),
                     ToBase64Url(AsBytes(payload)));
}

std::string Join(std::string_view signing_input, ByteView signature) {
  return fmt::format("{}.{}", signing_input, ToBase64Url(signature));
}

OpenedJws OpenJws(std::string_view jws, std::span<const VerificationKey> keys) {
  if (jws.size() > kMaxTokenSize) {
    return Malformed("token", fmt::format("at most {} bytes", kMaxTokenSize),
                     fmt::format("{} bytes", jws.size()));
  }
  const std::optional<Parts> parts = Split(jws);
  if (!parts) {
    return Malformed("token", "three parts with dots between them");
  }
  Header header;
  if (auto problem = ReadHeader(parts->header, &header)) {
    return *std::move(problem);
  }
  std::vector<const VerificationKey*> candidates;
  if (auto problem = ChooseKeys(header, keys, &candidates)) {
    return *std::move(problem);
  }
  const absl::StatusOr<Bytes> payload = ParseBase64Url(parts->payload);
  const absl::StatusOr<Bytes> signature = ParseBase64Url(parts->signature);
  if (!payload.ok() || !signature.ok()) {
    return Malformed(payload.ok() ? "signature" : "claims",
                     "base64url without padding");
  }
  const bool verified = std::any_of(
      candidates.begin(), candidates.end(), [&](const VerificationKey* key) {
        return key->Verify(AsBytes(parts->signing_input), *signature);
      });
  if (!verified) {
    return Refuse("token-signature", "signature",
                  fmt::format("one by {}", candidates.front()->key_id()),
                  signature->empty() ? "nothing" : "another");
  }
  return {.problem = std::nullopt, .payload = std::string(AsText(*payload))};
}

}  // namespace vmattest::token
