#include "verifier/sealed_seed.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "crypto/ml_dsa.h"
#include "evidence/seal_policy.h"

namespace vmattest::verifier {
namespace {

absl::Status CheckAkCertified(const evidence::PqKey& key,
                              const Anchors::Host& host) {
  ASSIGN_OR_RETURN_WITH(const evidence::Attest info,
                        evidence::ParseAttest(key.certify_info),
                        "certify_info");
  ASSIGN_OR_RETURN_WITH(const evidence::EcdsaSignature signature,
                        evidence::ParseEcdsaSignature(key.signature),
                        "signature");
  if (!SignatureHolds(host.ak, key.certify_info, signature)) {
    return absl::InvalidArgumentError(fmt::format(
        "the signature is not by the AK of host {}", host.identity.host_id));
  }
  if (info.qualified_signer != host.ak_qualified_name) {
    return absl::InvalidArgumentError(fmt::format(
        "certify_info's signer is {}, the AK is {}",
        ToHex(info.qualified_signer), ToHex(host.ak_qualified_name)));
  }
  return absl::OkStatus();
}

bool SameUse(const PqKeyInfo& a, const PqKeyInfo& b) {
  return a.algorithm == b.algorithm && a.purpose == b.purpose &&
         a.epoch == b.epoch;
}

absl::Status CheckUse(const PqKeyInfo& info, const Bytes& key_id,
                      const Anchors::Host& host) {
  for (const auto& [known_id, known] : host.pq_keys) {
    if (known_id == key_id && !SameUse(known, info)) {
      return absl::InvalidArgumentError(
          fmt::format("key-reused: it is pinned for {} epoch {} too",
                      ToString(known.purpose), known.epoch));
    }
    if (known_id != key_id && SameUse(known, info)) {
      return absl::InvalidArgumentError(
          fmt::format("another key, {}, is pinned for this purpose and epoch",
                      ToHex(known_id)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPqKey(const evidence::PqKey& key,
                        const evidence::HostIdentity& identity,
                        ByteView authority_name, const Anchors::Host& host) {
  RETURN_IF_ERROR(
      evidence::CheckSealedSeed(key, identity.host_id, authority_name));
  return CheckAkCertified(key, host);
}

}  // namespace

absl::Status AddPqKeys(const evidence::HostIdentity& identity,
                       Anchors::Host& host) {
  if (identity.pq_keys.empty()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN_WITH(const Bytes authority_name,
                        evidence::NameOf(identity.seal_authority),
                        "seal_authority");
  std::set<Bytes> listed;
  for (const evidence::PqKey& key : identity.pq_keys) {
    const std::string label = fmt::format("{} key {} epoch {}", key.algorithm,
                                          ToString(key.purpose), key.epoch);
    RETURN_IF_ERROR_WITH(CheckPqKey(key, identity, authority_name, host),
                         label);
    const PqKeyInfo info{key.algorithm, key.purpose, key.epoch, key.public_key};
    const Bytes key_id = MlDsaKeyId(key.public_key);
    RETURN_IF_ERROR_WITH(CheckUse(info, key_id, host), label);
    if (!listed.insert(key_id).second) {
      return absl::InvalidArgumentError(label + ": it is listed twice");
    }
    host.pq_keys.emplace(key_id, info);
  }
  return absl::OkStatus();
}

}  // namespace vmattest::verifier
