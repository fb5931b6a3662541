#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

#include "enrollment/credential.h"
#include "enrollment/ek_public.h"
#include "enrollment/reason_codes.h"
#include "evidence/tpm_structures.h"
#include "verifier/host_check.h"

namespace vmattest::enrollment {
namespace {

Verdict Refuse(std::string_view code, std::string element, std::string expected,
               std::string found) {
  Verdict verdict;
  verdict.reasons.push_back({std::string(code), std::move(element),
                             std::move(expected), std::move(found)});
  return verdict;
}

Verdict Refuse(std::vector<Reason> reasons) {
  if (reasons.empty()) {  // a check that ended without a word (rule S39)
    return Refuse(reason::kIdentityCheckIncomplete, "identity", "", "");
  }
  Verdict verdict;
  for (Reason& found : reasons) {
    found.code.insert(0, reason::kIdentityPrefix);
    verdict.reasons.push_back(std::move(found));
  }
  return verdict;
}

Verdict Accept() {
  Verdict verdict;
  verdict.outcome = Verdict::Outcome::kTrusted;
  return verdict;
}

Verdict CheckEk(const evidence::HostIdentity& identity) {
  const absl::StatusOr<EkPublic> ek = ParseEkPublic(identity.ek_public);
  if (!ek.ok()) {
    return Refuse(reason::kIdentityEkMalformed, "EK",
                  "an endorsement key of RSA or ECC",
                  std::string(ek.status().message()));
  }
  if (EkTemplateOf(*ek).empty()) {
    return Refuse(reason::kIdentityEkTemplate, "EK",
                  "a template of the TCG EK Credential Profile",
                  fmt::format("attributes {:#010x}, policy {}", ek->attributes,
                              ToHex(ek->auth_policy)));
  }
  return Accept();
}

// Each purpose and epoch is one key, each key has one purpose and epoch.
Verdict CheckLabels(const evidence::HostIdentity& identity) {
  std::set<std::string> labels;
  std::map<Bytes, std::string> names;
  for (const evidence::KeyCertification& key : identity.keys) {
    std::string label =
        fmt::format("key {} epoch {}", ToString(key.purpose), key.epoch);
    if (!labels.insert(label).second) {
      return Refuse(reason::kIdentityKeyDuplicate, label, "one key",
                    "another one");
    }
    const absl::StatusOr<Bytes> name = evidence::NameOf(key.public_area);
    const auto [known, is_new] =
        names.emplace(name.value_or(Bytes()), std::move(label));
    if (!is_new) {
      return Refuse(
          reason::kIdentityKeyDuplicate,
          fmt::format("key {} epoch {}", ToString(key.purpose), key.epoch),
          "a key of its own", known->second);
    }
  }
  return Accept();
}

}  // namespace

Verdict CheckIdentity(const evidence::HostIdentity& identity) {
  verifier::Anchors::Host host;
  const verifier::CheckResult result =
      verifier::CheckHostIdentity(identity, host);
  if (!result.passed()) {
    return Refuse(result.reasons());
  }
  if (Verdict verdict = CheckEk(identity); !verdict.trusted()) {
    return verdict;
  }
  return CheckLabels(identity);
}

}  // namespace vmattest::enrollment
