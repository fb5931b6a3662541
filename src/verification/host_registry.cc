#include "verification/host_registry.h"

#include <utility>

#include "base/log.h"
#include "enrollment/ek_public.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "verification/host_record.h"
#include "wire/codec.h"

namespace vmattest::verification {
namespace {

constexpr int kMaxTries = 16;
constexpr std::chrono::hours kLongestPermit{24 * 30};
constexpr size_t kMaxReason = 512;
// In the place of a client's URI: one for each host, as those are.
constexpr std::string_view kOwnClient = "own:";

int64_t UnixMs(WallTime time) { return time.time_since_epoch().count(); }

HostEntry::State ToState(enrollment::HostState state) {
  switch (state) {
    case enrollment::HostState::kEnrolled:
      return HostEntry::State::kEnrolled;
    case enrollment::HostState::kPending:
      return HostEntry::State::kPending;
    case enrollment::HostState::kRevoked:
      return HostEntry::State::kRevoked;
  }
  return HostEntry::State::kRevoked;
}

enrollment::HostState FromState(HostEntry::State state) {
  switch (state) {
    case HostEntry::State::kEnrolled:
      return enrollment::HostState::kEnrolled;
    case HostEntry::State::kPending:
      return enrollment::HostState::kPending;
    case HostEntry::State::kRevoked:
      return enrollment::HostState::kRevoked;
  }
  return enrollment::HostState::kRevoked;
}

absl::Status NotEnrolled(const HostEntry& host) {
  return absl::FailedPreconditionError(
      fmt::format("host {} is {}", host.host_id,
                  enrollment::ToString(FromState(host.state))));
}

enrollment::EkTrust FromTrust(std::string_view text) {
  for (const enrollment::EkTrust trust :
       {enrollment::EkTrust::kCertificate, enrollment::EkTrust::kOperator,
        enrollment::EkTrust::kOwn}) {
    if (text == enrollment::ToString(trust)) {
      return trust;
    }
  }
  return enrollment::EkTrust::kNone;
}

std::string ToText(enrollment::EkTrust trust) {
  return trust == enrollment::EkTrust::kNone
             ? ""
             : std::string(enrollment::ToString(trust));
}

absl::StatusOr<enrollment::KnownHost> ToKnown(const HostEntry& host) {
  enrollment::KnownHost known;
  const auto identity = wire::ParseHostIdentity(host.identity);
  if (!identity.ok()) {
    return absl::DataLossError(
        fmt::format("the identity of host {} is damaged: {}", host.host_id,
                    std::string(identity.status().message())));
  }
  known.identity = *identity;
  known.state = FromState(host.state);
  known.ek_trust = FromTrust(host.ek_trust);
  known.client = host.client_identity;
  return known;
}

// `before`, if any, made to say what `known` says.
absl::StatusOr<HostEntry> ToEntry(const enrollment::KnownHost& known,
                                  const std::optional<HostEntry>& before,
                                  WallTime now) {
  HostEntry host = before.value_or(HostEntry());
  const HostEntry::State state = ToState(known.state);
  if (!before || host.state != state) {
    host.since_unix_ms = UnixMs(now);
  }
  host.host_id = known.identity.host_id;
  host.state = state;
  host.client_identity = known.client;
  host.hostname = known.identity.hostname;
  host.ek_trust = ToText(known.ek_trust);
  ASSIGN_OR_RETURN(host.ak_name, evidence::NameOf(known.identity.ak_public));
  ASSIGN_OR_RETURN(const DigestBytes fingerprint,
                   enrollment::EkFingerprint(known.identity.ek_public));
  host.ek_fingerprint = ToBytes(ByteView(fingerprint));
  host.identity = wire::EncodeHostIdentity(known.identity);
  if (state != HostEntry::State::kRevoked) {
    host.revocation_reason.clear();
  }
  return host;
}

DecisionEntry EventOf(const HostEntry& host, const std::string& code,
                      WallTime now) {
  DecisionEntry event;
  event.kind = DecisionEntry::Kind::kHost;
  event.time_unix_ms = UnixMs(now);
  event.host_id = host.host_id;
  event.trusted = host.state == HostEntry::State::kEnrolled;
  event.reasons = {{code, host.host_id, "", host.revocation_reason}};
  event.fixes = {""};
  return event;
}

}  // namespace

HostRegistry::HostRegistry(const Parts& parts,
                           enrollment::Enroller::Options options)
    : parts_(parts), enroller_(parts.ek_roots, parts.clock, options) {}

absl::StatusOr<enrollment::Enroller::Begun> HostRegistry::Begin(
    const std::string& client, ByteView identity) {
  ASSIGN_OR_RETURN(const evidence::HostIdentity parsed,
                   wire::ParseHostIdentity(identity));
  ASSIGN_OR_RETURN(const std::optional<HostEntry> own,
                   parts_.store.FindHostOfClient(client));
  if (own && own->state != HostEntry::State::kRevoked &&
      own->host_id != parsed.host_id) {
    return absl::AlreadyExistsError(
        fmt::format("{} has host {} already", client, own->host_id));
  }
  return enroller_.Begin(client, parsed);
}

absl::StatusOr<HostEntry> HostRegistry::Decide(
    const enrollment::ActivatedHost& host,
    const std::optional<HostEntry>& before, bool& spend_permit) {
  ASSIGN_OR_RETURN(const Bytes ak_name,
                   evidence::NameOf(host.identity.ak_public));
  ASSIGN_OR_RETURN(const DigestBytes fingerprint,
                   enrollment::EkFingerprint(host.identity.ek_public));
  ASSIGN_OR_RETURN(
      const std::vector<HostEntry> same_keys,
      parts_.store.FindHostsOfKeys(ak_name, ToBytes(ByteView(fingerprint))));
  std::optional<enrollment::KnownHost> same_id;
  std::optional<enrollment::KnownHost> same_ak;
  std::optional<enrollment::KnownHost> same_ek;
  if (before) {
    ASSIGN_OR_RETURN(same_id, ToKnown(*before));
    if (same_id->client.starts_with(kOwnClient)) {
      same_id->client = host.client;  // it begins to be one
    }
  }
  for (const HostEntry& other : same_keys) {
    ASSIGN_OR_RETURN(auto known, ToKnown(other));
    (other.ak_name == ak_name ? same_ak : same_ek) = std::move(known);
  }
  const auto pointer = [](const std::optional<enrollment::KnownHost>& known) {
    return known ? &*known : nullptr;
  };
  std::optional<enrollment::RebindPermission> permission;
  ASSIGN_OR_RETURN(const std::optional<RebindPermit> permit,
                   parts_.store.FindPermit(host.identity.host_id));
  if (permit) {
    permission = {permit->ak_name,
                  WallTime(std::chrono::milliseconds(permit->expires_unix_ms))};
  }
  const WallTime now = parts_.clock.Now();
  ASSIGN_OR_RETURN(
      const enrollment::KnownHost known,
      enrollment::DecideEnrollment(
          host, {pointer(same_id), pointer(same_ak), pointer(same_ek)},
          permission, now));
  spend_permit = permit && permit->ak_name == ak_name;
  return ToEntry(known, before, now);
}

absl::StatusOr<HostEntry> HostRegistry::Complete(const std::string& client,
                                                 ByteView id, ByteView proof) {
  ASSIGN_OR_RETURN(const enrollment::ActivatedHost host,
                   enroller_.Complete(client, id, proof));
  return Write(host.identity.host_id, "host-enrolled",
               [&](const std::optional<HostEntry>& before, bool& spend_permit) {
                 return Decide(host, before, spend_permit);
               });
}

absl::StatusOr<HostEntry> HostRegistry::AdmitOwn(
    const evidence::HostIdentity& identity) {
  ASSIGN_OR_RETURN(const std::optional<HostEntry> known,
                   parts_.store.FindHost(identity.host_id));
  ASSIGN_OR_RETURN(const Bytes ak_name, evidence::NameOf(identity.ak_public));
  const bool same_ak = known && known->ak_name == ak_name;
  return Write(identity.host_id, same_ak ? "" : "host-enrolled",
               [&](const std::optional<HostEntry>& before,
                   bool&) -> absl::StatusOr<HostEntry> {
                 std::optional<enrollment::KnownHost> host;
                 if (before) {
                   ASSIGN_OR_RETURN(host, ToKnown(*before));
                 }
                 ASSIGN_OR_RETURN(
                     enrollment::KnownHost own,
                     enrollment::DecideOwn(host ? &*host : nullptr, identity));
                 if (own.client.empty()) {
                   own.client = std::string(kOwnClient) + identity.host_id;
                 }
                 return ToEntry(own, before, parts_.clock.Now());
               });
}

absl::StatusOr<HostRegistry::Updated> HostRegistry::UpdateKeys(
    const std::string& client, ByteView identity) {
  ASSIGN_OR_RETURN(const evidence::HostIdentity update,
                   wire::ParseHostIdentity(identity));
  ASSIGN_OR_RETURN(const std::optional<HostEntry> own,
                   parts_.store.FindHostOfClient(client));
  if (!own) {
    return absl::NotFoundError(fmt::format("{} has no host", client));
  }
  Updated updated;
  auto written = Write(
      own->host_id, "",
      [&](const std::optional<HostEntry>& before,
          bool&) -> absl::StatusOr<HostEntry> {
        if (!before) {
          return absl::NotFoundError(fmt::format("{} has no host", client));
        }
        ASSIGN_OR_RETURN(enrollment::KnownHost known, ToKnown(*before));
        ASSIGN_OR_RETURN(enrollment::KeyUpdate merged,
                         enrollment::UpdateKeys(known, update, client));
        updated.verdict = merged.verdict;
        if (!merged.verdict.trusted()) {
          return absl::CancelledError("refused");
        }
        known.identity = std::move(merged.identity);
        return ToEntry(known, before, parts_.clock.Now());
      });
  if (absl::IsCancelled(written.status())) {
    return updated;
  }
  RETURN_IF_ERROR(written.status());
  updated.host = *std::move(written);
  return updated;
}

absl::StatusOr<HostEntry> HostRegistry::Write(const std::string& host_id,
                                              const std::string& why,
                                              const Change& change) {
  for (int i = 0; i < kMaxTries; ++i) {
    ASSIGN_OR_RETURN(const std::optional<HostEntry> before,
                     parts_.store.FindHost(host_id));
    bool spend_permit = false;
    ASSIGN_OR_RETURN(HostEntry host, change(before, spend_permit));
    if (before && host == *before && !spend_permit) {
      return host;  // nothing to say anew
    }
    host.revision = before ? before->revision + 1 : 1;
    const WallTime now = parts_.clock.Now();
    host.record.clear();
    if (host.state != HostEntry::State::kPending) {
      ASSIGN_OR_RETURN(host.record,
                       SignHostRecord(host, parts_.authority, now));
    }
    VerifierStore::HostWrite write{.host = host, .spend_permit = spend_permit};
    if (!why.empty()) {
      write.event = EventOf(host, why, now);
    }
    const absl::StatusOr<uint64_t> sequence = parts_.store.PutHost(write);
    if (absl::IsAborted(sequence.status())) {
      continue;
    }
    RETURN_IF_ERROR(sequence.status());
    if (write.event) {
      log::Info(why, {{"host_id", host_id},
                      {"hostname", host.hostname},
                      {"client", host.client_identity},
                      {"why", host.revocation_reason}});
      parts_.log.Stored(*sequence, *std::move(write.event));
    }
    return host;
  }
  return absl::AbortedError(
      fmt::format("host {} changes all the time", host_id));
}

absl::StatusOr<std::vector<HostEntry>> HostRegistry::List(
    const std::string& after, size_t limit) {
  return parts_.store.ListHosts(after, limit);
}

absl::StatusOr<HostEntry> HostRegistry::Get(const std::string& host_id) {
  ASSIGN_OR_RETURN(std::optional<HostEntry> host,
                   parts_.store.FindHost(host_id));
  if (!host) {
    return absl::NotFoundError(fmt::format("no host {}", host_id));
  }
  return *std::move(host);
}

absl::StatusOr<HostEntry> HostRegistry::EnrolledHostOf(
    const std::string& client) {
  ASSIGN_OR_RETURN(HostEntry host, DecidedHostOf(client));
  return host.state == HostEntry::State::kEnrolled
             ? absl::StatusOr<HostEntry>(std::move(host))
             : NotEnrolled(host);
}

absl::StatusOr<HostEntry> HostRegistry::DecidedHostOf(
    const std::string& client) {
  ASSIGN_OR_RETURN(std::optional<HostEntry> host,
                   parts_.store.FindHostOfClient(client));
  if (!host) {
    return absl::NotFoundError(fmt::format("{} has no host", client));
  }
  if (host->state == HostEntry::State::kPending) {
    return NotEnrolled(*host);
  }
  return *std::move(host);
}

absl::StatusOr<Bytes> HostRegistry::RecordOf(const HostEntry& host) {
  const WallTime now = parts_.clock.Now();
  // Each write signs anew, so the age of the record is at most that of the
  // state only if nothing was written since; signing costs little.
  if (UnixMs(now) - host.since_unix_ms <
      std::chrono::milliseconds(kHostRecordLifetime).count() / 2) {
    return host.record;
  }
  return SignHostRecord(host, parts_.authority, now);
}

absl::StatusOr<HostEntry> HostRegistry::Approve(const std::string& host_id,
                                                ByteView ak_name) {
  RETURN_IF_ERROR(Get(host_id).status());
  return Write(
      host_id, "host-approved",
      [&](const std::optional<HostEntry>& before,
          bool&) -> absl::StatusOr<HostEntry> {
        ASSIGN_OR_RETURN(enrollment::KnownHost known, ToKnown(*before));
        ASSIGN_OR_RETURN(known,
                         enrollment::ApprovePending(std::move(known), ak_name));
        return ToEntry(known, before, parts_.clock.Now());
      });
}

absl::Status HostRegistry::AllowRebind(const std::string& host_id,
                                       ByteView ak_name, WallTime expires) {
  RETURN_IF_ERROR(Get(host_id).status());
  const WallTime now = parts_.clock.Now();
  if (expires <= now || expires > now + kLongestPermit) {
    return absl::InvalidArgumentError(
        "a permit ends in the future, within 30 days");
  }
  RETURN_IF_ERROR(parts_.store.PutPermit({.host_id = host_id,
                                          .ak_name = ToBytes(ak_name),
                                          .expires_unix_ms = UnixMs(expires)}));
  log::Warning("rebind allowed",
               {{"host_id", host_id}, {"ak_name", ToHex(ak_name)}});
  return absl::OkStatus();
}

absl::StatusOr<HostEntry> HostRegistry::Revoke(const std::string& host_id,
                                               const std::string& reason) {
  if (reason.size() > kMaxReason) {
    return absl::InvalidArgumentError("the reason has more than 512 bytes");
  }
  RETURN_IF_ERROR(Get(host_id).status());
  return Write(host_id, "host-revoked",
               [&](const std::optional<HostEntry>& before,
                   bool& spend_permit) -> absl::StatusOr<HostEntry> {
                 spend_permit = true;
                 HostEntry host = *before;
                 if (host.state != HostEntry::State::kRevoked) {
                   host.state = HostEntry::State::kRevoked;
                   host.since_unix_ms = UnixMs(parts_.clock.Now());
                   host.revocation_reason = reason;
                 }
                 return host;
               });
}

}  // namespace vmattest::verification
