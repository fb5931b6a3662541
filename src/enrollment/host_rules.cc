#include "enrollment/host_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "enrollment/credential.h"
#include "evidence/tpm_structures.h"
#include "wire/codec.h"

namespace vmattest::enrollment {
namespace {

// As the codec has it: of more keys nothing would be read any more.
constexpr size_t kMaxKeys = 256;

using Label = std::pair<KeyPurpose, uint32_t>;

Label LabelOf(const evidence::KeyCertification& key) {
  return {key.purpose, key.epoch};
}

absl::Status CheckClient(const KnownHost& known, std::string_view client) {
  if (known.client != client) {
    return absl::PermissionDeniedError(
        fmt::format("host {} was enrolled by another client, {}",
                    known.identity.host_id, known.client));
  }
  return absl::OkStatus();
}

// Of what a host has one of: it must not change under its keys. Saying nothing
// about it changes nothing.
absl::Status CheckSame(std::string_view what, const Bytes& known,
                       const Bytes& update, bool may_begin) {
  if (known == update || update.empty() || (may_begin && known.empty())) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("another {} than is enrolled: enrol the host again", what));
}

absl::Status AddKey(const evidence::KeyCertification& key,
                    const std::map<Label, Bytes>& known,
                    const std::map<KeyPurpose, uint32_t>& newest,
                    std::vector<evidence::KeyCertification>& keys) {
  const std::string label =
      fmt::format("key {} epoch {}", ToString(key.purpose), key.epoch);
  if (const auto same = known.find(LabelOf(key)); same != known.end()) {
    return same->second == key.public_area
               ? absl::OkStatus()
               : absl::InvalidArgumentError(label + " is another key already");
  }
  if (const auto last = newest.find(key.purpose);
      last != newest.end() && key.epoch <= last->second) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: epoch {} is known, and epochs grow", label, last->second));
  }
  keys.push_back(key);
  return absl::OkStatus();
}

absl::Status MergeKeys(const std::vector<evidence::KeyCertification>& update,
                       std::vector<evidence::KeyCertification>& keys) {
  std::map<Label, Bytes> known;
  std::map<KeyPurpose, uint32_t> newest;
  for (const evidence::KeyCertification& key : keys) {
    known.emplace(LabelOf(key), key.public_area);
    uint32_t& last = newest[key.purpose];
    last = std::max(last, key.epoch);
  }
  for (const evidence::KeyCertification& key : update) {
    RETURN_IF_ERROR(AddKey(key, known, newest, keys));
  }
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
    return LabelOf(a) < LabelOf(b);
  });
  return absl::OkStatus();
}

// The oldest of those that the host lists no more; what they signed can then
// not be checked any more, and is never believed instead.
absl::Status MakeRoom(const std::vector<evidence::KeyCertification>& listed,
                      std::vector<evidence::KeyCertification>& keys) {
  std::set<Label> stay;
  for (const evidence::KeyCertification& key : listed) {
    stay.insert(LabelOf(key));
  }
  while (keys.size() > kMaxKeys) {
    auto oldest = keys.end();
    for (auto key = keys.begin(); key != keys.end(); ++key) {
      if (!stay.contains(LabelOf(*key)) &&
          (oldest == keys.end() || key->epoch < oldest->epoch)) {
        oldest = key;
      }
    }
    if (oldest == keys.end()) {
      return absl::ResourceExhaustedError(
          fmt::format("more than {} keys", kMaxKeys));
    }
    keys.erase(oldest);
  }
  return absl::OkStatus();
}

void MergeRevocations(const std::vector<evidence::KeyRevocation>& update,
                      std::vector<evidence::KeyRevocation>& revocations) {
  for (const evidence::KeyRevocation& revocation : update) {
    const bool known = std::any_of(
        revocations.begin(), revocations.end(), [&](const auto& other) {
          return other.purpose == revocation.purpose &&
                 other.epoch == revocation.epoch &&
                 other.key_name == revocation.key_name;
        });
    if (!known) {
      revocations.push_back(revocation);
    }
  }
}

absl::Status MergePqKeys(const std::vector<evidence::PqKey>& update,
                         std::vector<evidence::PqKey>& keys) {
  for (const evidence::PqKey& key : update) {
    const auto known =
        std::find_if(keys.begin(), keys.end(), [&](const auto& other) {
          return other.algorithm == key.algorithm &&
                 other.purpose == key.purpose && other.epoch == key.epoch;
        });
    if (known == keys.end()) {
      keys.push_back(key);
    } else if (known->public_key != key.public_key) {
      return absl::InvalidArgumentError(
          fmt::format("{} key {} epoch {} is another key already",
                      key.algorithm, ToString(key.purpose), key.epoch));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSameHost(const evidence::HostIdentity& known,
                           const evidence::HostIdentity& update) {
  if (known.host_id != update.host_id) {
    return absl::FailedPreconditionError("another host id");
  }
  RETURN_IF_ERROR(CheckSame("EK", known.ek_public, update.ek_public, false));
  RETURN_IF_ERROR(CheckSame("AK", known.ak_public, update.ak_public, false));
  RETURN_IF_ERROR(CheckSame("EK certificate", known.ek_certificate,
                            update.ek_certificate, false));
  RETURN_IF_ERROR(
      CheckSame("event log index", known.log_index, update.log_index, true));
  return CheckSame("seal authority", known.seal_authority,
                   update.seal_authority, true);
}

// Of two identities of one host with one AK.
absl::StatusOr<KeyUpdate> Merge(const evidence::HostIdentity& known,
                                const evidence::HostIdentity& update) {
  KeyUpdate merged{.verdict = {}, .identity = known};
  evidence::HostIdentity& identity = merged.identity;
  identity.hostname = update.hostname;
  identity.module_version = update.module_version;
  for (const auto field : {&evidence::HostIdentity::ek_certificate,
                           &evidence::HostIdentity::log_index,
                           &evidence::HostIdentity::seal_authority}) {
    if (!(update.*field).empty()) {
      identity.*field = update.*field;
    }
  }
  RETURN_IF_ERROR(MergeKeys(update.keys, identity.keys));
  RETURN_IF_ERROR(MakeRoom(update.keys, identity.keys));
  MergeRevocations(update.revocations, identity.revocations);
  RETURN_IF_ERROR(MergePqKeys(update.pq_keys, identity.pq_keys));
  if (const auto fits =
          wire::ParseHostIdentity(wire::EncodeHostIdentity(identity));
      !fits.ok()) {
    return absl::ResourceExhaustedError(
        fmt::format("what is known and what is new are together no identity "
                    "any more: {}",
                    std::string(fits.status().message())));
  }
  merged.verdict = CheckIdentity(identity);
  return merged;
}

absl::Status CheckNobodyElses(const ActivatedHost& host,
                              const KnownHosts& known) {
  const std::string& host_id = host.identity.host_id;
  if (known.same_ak != nullptr && known.same_ak->identity.host_id != host_id) {
    return absl::AlreadyExistsError(fmt::format(
        "the AK is that of host {} already", known.same_ak->identity.host_id));
  }
  if (known.same_ek != nullptr && known.same_ek->identity.host_id != host_id) {
    return absl::AlreadyExistsError(fmt::format(
        "the EK is that of host {} already", known.same_ek->identity.host_id));
  }
  return absl::OkStatus();
}

KnownHost NewHost(const ActivatedHost& host) {
  return {
      .identity = host.identity,
      .state = host.ek_certified ? HostState::kEnrolled : HostState::kPending,
      .ek_trust = host.ek_certified ? EkTrust::kCertificate : EkTrust::kNone,
      .client = host.client};
}

// The same AK, activated once more: nothing that it said is forgotten.
absl::StatusOr<KnownHost> Again(const ActivatedHost& host,
                                const KnownHost& known) {
  KnownHost record = known;
  record.client = host.client;
  const Bytes& authority = host.identity.seal_authority;
  if (!authority.empty() && authority != known.identity.seal_authority) {
    record.identity.pq_keys.clear();  // sealed for the one before
  }
  ASSIGN_OR_RETURN(KeyUpdate merged, Merge(record.identity, host.identity));
  if (!merged.verdict.trusted()) {
    const Reason& why = merged.verdict.reasons.front();
    return absl::InvalidArgumentError(
        fmt::format("{}: {}: expected {}, found {}", why.code, why.element,
                    why.expected, why.found));
  }
  record.identity = std::move(merged.identity);
  if (host.ek_certified) {
    record.state = HostState::kEnrolled;
    record.ek_trust = EkTrust::kCertificate;
  } else if (known.state == HostState::kRevoked) {
    record.state = HostState::kPending;
    record.ek_trust = EkTrust::kNone;
  }
  return record;
}

}  // namespace

std::string_view ToString(HostState state) {
  switch (state) {
    case HostState::kEnrolled:
      return "enrolled";
    case HostState::kPending:
      return "pending";
    case HostState::kRevoked:
      return "revoked";
  }
  return "unknown";
}

std::string_view ToString(EkTrust trust) {
  switch (trust) {
    case EkTrust::kNone:
      return "none";
    case EkTrust::kCertificate:
      return "certificate";
    case EkTrust::kOperator:
      return "operator";
    case EkTrust::kOwn:
      return "own";
  }
  return "unknown";
}

absl::StatusOr<KnownHost> DecideEnrollment(
    const ActivatedHost& host, const KnownHosts& known,
    const std::optional<RebindPermission>& permission, WallTime now) {
  RETURN_IF_ERROR(CheckNobodyElses(host, known));
  const KnownHost* before = known.same_host_id;
  if (before == nullptr) {
    return NewHost(host);
  }
  const std::string& host_id = host.identity.host_id;
  ASSIGN_OR_RETURN(const Bytes ak_name,
                   evidence::NameOf(host.identity.ak_public));
  const bool allowed =
      permission && permission->ak_name == ak_name && now < permission->expires;
  const bool same_ak = before->identity.ak_public == host.identity.ak_public;
  if (before->state == HostState::kRevoked && !allowed) {
    return absl::FailedPreconditionError(
        fmt::format("host {} is revoked", host_id));
  }
  if (!same_ak && !allowed) {
    return absl::AlreadyExistsError(
        fmt::format("host {} is known with another AK: an operator has to "
                    "allow this one, {}",
                    host_id, ToHex(ak_name)));
  }
  if (!allowed) {
    RETURN_IF_ERROR(CheckClient(*before, host.client));
  }
  return same_ak ? Again(host, *before) : NewHost(host);
}

absl::StatusOr<KeyUpdate> UpdateKeys(const KnownHost& known,
                                     const evidence::HostIdentity& update,
                                     std::string_view client) {
  RETURN_IF_ERROR(CheckClient(known, client));
  if (known.state != HostState::kEnrolled) {
    return absl::FailedPreconditionError(fmt::format(
        "host {} is {}", known.identity.host_id, ToString(known.state)));
  }
  RETURN_IF_ERROR(CheckSameHost(known.identity, update));
  return Merge(known.identity, update);
}

absl::StatusOr<KnownHost> DecideOwn(const KnownHost* known,
                                    const evidence::HostIdentity& identity) {
  if (known != nullptr && known->state == HostState::kRevoked) {
    return *known;
  }
  KnownHost host = known == nullptr ? KnownHost() : *known;
  KeyUpdate merged{.verdict = CheckIdentity(identity), .identity = identity};
  if (host.identity.ak_public == identity.ak_public) {
    RETURN_IF_ERROR(CheckSameHost(host.identity, identity));
    ASSIGN_OR_RETURN(merged, Merge(host.identity, identity));
  } else {
    host.ek_trust = EkTrust::kNone;
  }
  if (!merged.verdict.trusted()) {
    const Reason& why = merged.verdict.reasons.front();
    return absl::FailedPreconditionError(
        fmt::format("{}: {}: expected {}, found {}", why.code, why.element,
                    why.expected, why.found));
  }
  host.identity = std::move(merged.identity);
  host.state = HostState::kEnrolled;
  if (host.ek_trust == EkTrust::kNone) {
    host.ek_trust = EkTrust::kOwn;
  }
  return host;
}

absl::StatusOr<KnownHost> ApprovePending(KnownHost known, ByteView ak_name) {
  if (known.state != HostState::kPending) {
    return absl::FailedPreconditionError(fmt::format(
        "host {} is {}", known.identity.host_id, ToString(known.state)));
  }
  ASSIGN_OR_RETURN(const Bytes name,
                   evidence::NameOf(known.identity.ak_public));
  if (name != ToBytes(ak_name)) {
    return absl::FailedPreconditionError(fmt::format(
        "host {} has another AK, {}", known.identity.host_id, ToHex(name)));
  }
  known.state = HostState::kEnrolled;
  known.ek_trust = EkTrust::kOperator;
  return known;
}

}  // namespace vmattest::enrollment
