#include "verifier/host_check.h"

#include <fmt/format.h>

#include <utility>

#include "verifier/reason_codes.h"
#include "verifier/sealed_seed.h"

namespace vmattest::verifier {
namespace {

CheckResult Malformed(std::string_view code, std::string element,
                      const absl::Status& why) {
  return CheckResult::Fail(code, std::move(element), "a TPM2B_PUBLIC",
                           std::string(why.message()));
}

CheckResult CheckHostId(Anchors::Host& host) {
  absl::StatusOr<Bytes> name = evidence::NameOf(host.identity.ek_public);
  if (!name.ok()) {
    return Malformed(kEkMalformed, "EK", name.status());
  }
  host.ek_name = *std::move(name);
  const std::string host_id = ToHex(ByteView(host.ek_name).subspan(2));
  if (host.identity.host_id != host_id) {
    return CheckResult::Fail(kHostIdMismatch, "host_id",
                             "the EK's name, " + host_id,
                             host.identity.host_id);
  }
  return CheckResult::Pass();
}

CheckResult CheckAk(Anchors::Host& host) {
  absl::StatusOr<evidence::EccPublicArea> ak =
      evidence::ParseEccPublic(host.identity.ak_public);
  if (!ak.ok()) {
    return Malformed(kAkMalformed, "AK", ak.status());
  }
  host.ak = *std::move(ak);
  if (host.ak.name == host.ek_name) {
    return CheckResult::Fail(reason::kKeyReused, "AK", "a key of its own",
                             "the same key as the EK");
  }
  host.ak_qualified_name = QualifiedName(host.ak);
  return CheckSigningKey(host.ak, "AK");
}

}  // namespace

CheckResult AddKeys(const std::vector<evidence::KeyCertification>& keys,
                    Anchors::Host& host) {
  for (const evidence::KeyCertification& key : keys) {
    const absl::StatusOr<evidence::EccPublicArea> area =
        evidence::ParseEccPublic(key.public_area);
    if (!area.ok()) {
      return Malformed(
          reason::kKeyMalformed,
          fmt::format("key {} epoch {}", ToString(key.purpose), key.epoch),
          area.status());
    }
    if (CheckResult result = CheckCertification(key, *area, host);
        !result.passed()) {
      return result;
    }
    host.purposes.emplace(area->name, key.purpose);
  }
  return CheckResult::Pass();
}

CheckResult AddRevocations(
    const std::vector<evidence::KeyRevocation>& revocations,
    Anchors::Host& host) {
  for (const evidence::KeyRevocation& revocation : revocations) {
    if (CheckResult result = CheckRevocation(revocation, host);
        !result.passed()) {
      return result;
    }
    host.revoked_names.insert(revocation.key_name);
    host.revoked_epochs.emplace(revocation.purpose, revocation.epoch);
  }
  return CheckResult::Pass();
}

CheckResult CheckHostIdentity(evidence::HostIdentity identity,
                              Anchors::Host& host) {
  host = Anchors::Host();
  host.identity = std::move(identity);
  if (CheckResult result = CheckHostId(host); !result.passed()) {
    return result;
  }
  if (CheckResult result = CheckAk(host); !result.passed()) {
    return result;
  }
  if (CheckResult result = AddKeys(host.identity.keys, host);
      !result.passed()) {
    return result;
  }
  if (CheckResult result = AddRevocations(host.identity.revocations, host);
      !result.passed()) {
    return result;
  }
  if (const absl::Status added = AddPqKeys(host.identity, host); !added.ok()) {
    return CheckResult::Fail(kPqKeyRefused, "post-quantum keys",
                             "seeds that this TPM sealed, the AK's word for it",
                             std::string(added.message()));
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
