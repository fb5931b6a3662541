#include "verification/etcd/etcd_verifier_store.h"

#include <utility>

#include "fmt/format.h"
#include "verification/etcd/rows.h"

namespace vmattest::verification {
namespace {

constexpr char kFormat[] = "1";
constexpr char kSeparator = '\0';

std::string HostKey(const std::string& id) { return "host/" + id; }
std::string ClientPrefix(const std::string& identity) {
  return "client/" + identity + kSeparator;
}
std::string AkKey(const HostEntry& host) { return "ak/" + ToHex(host.ak_name); }
std::string EkKey(const HostEntry& host) {
  return "ek/" + ToHex(host.ek_fingerprint);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdVerifierStore>> EtcdVerifierStore::Open(
    etcd::KeyValues& etcd, const EtcdTable::Options& options,
    const Clock& clock) {
  std::unique_ptr<EtcdVerifierStore> store(
      new EtcdVerifierStore(etcd, options, clock));
  RETURN_IF_ERROR_WITH(store->CheckFormat(),
                       fmt::format("the verifier's store {} in etcd",
                                   etcd::Printable(options.prefix)));
  return store;
}

absl::Status EtcdVerifierStore::CheckFormat() {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  ASSIGN_OR_RETURN(const std::optional<std::string> importing,
                   table_.Get(at, "importing"));
  if (importing) {
    return absl::FailedPreconditionError(
        "a move into it was not finished; do it again");
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> format,
                   table_.Get(at, "format"));
  if (!format) {
    return table_.PutAhead({{"format", kFormat}});
  }
  if (*format != kFormat) {
    return absl::FailedPreconditionError(
        fmt::format("it has the format '{}', which a newer vmattest wrote",
                    etcd::Printable(*format)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<HostEntry>> EtcdVerifierStore::HostAt(
    const Read& at, const std::string& host_id) {
  const std::string key = HostKey(host_id);
  ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
  if (!row) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(HostEntry host, DecodeHost(key, *row));
  return host;
}

absl::StatusOr<std::optional<HostEntry>> EtcdVerifierStore::FindHost(
    const std::string& host_id) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  return HostAt(at, host_id);
}

absl::StatusOr<std::optional<HostEntry>> EtcdVerifierStore::HostOfClientAt(
    const Read& at, const std::string& client_identity,
    const std::string& but) {
  std::optional<HostEntry> found;
  const std::string prefix = ClientPrefix(client_identity);
  RETURN_IF_ERROR(table_.Scan(
      at, prefix, prefix,
      [&](const std::string& key,
          const std::string& /*value*/) -> absl::StatusOr<bool> {
        const std::string host_id = key.substr(prefix.size());
        if (host_id == but) {
          return true;
        }
        ASSIGN_OR_RETURN(std::optional<HostEntry> host, HostAt(at, host_id));
        if (host && (!found || host->state != HostEntry::State::kRevoked)) {
          found = std::move(host);
        }
        return !found || found->state == HostEntry::State::kRevoked;
      }));
  return found;
}

absl::StatusOr<std::optional<HostEntry>> EtcdVerifierStore::FindHostOfClient(
    const std::string& client_identity) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  return HostOfClientAt(at, client_identity, "");
}

absl::StatusOr<std::vector<HostEntry>> EtcdVerifierStore::FindHostsOfKeys(
    const Bytes& ak_name, const Bytes& ek_fingerprint) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::map<std::string, HostEntry> found;
  for (const std::string& key :
       {"ak/" + ToHex(ak_name), "ek/" + ToHex(ek_fingerprint)}) {
    ASSIGN_OR_RETURN(const std::optional<std::string> host_id,
                     table_.Get(at, key));
    if (!host_id) {
      continue;
    }
    ASSIGN_OR_RETURN(std::optional<HostEntry> host, HostAt(at, *host_id));
    if (host) {
      found.emplace(*host_id, *std::move(host));
    }
  }
  std::vector<HostEntry> hosts;
  for (auto& [host_id, host] : found) {
    hosts.push_back(std::move(host));
  }
  return hosts;
}

absl::StatusOr<std::vector<HostEntry>> EtcdVerifierStore::ListHosts(
    const std::string& after, size_t limit) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<HostEntry> hosts;
  const std::string from =
      HostKey(after) + (after.empty() ? "" : std::string(1, '\0'));
  RETURN_IF_ERROR(
      table_.Scan(at, "host/", from,
                  [&](const std::string& key,
                      const std::string& value) -> absl::StatusOr<bool> {
                    if (hosts.size() < limit) {
                      ASSIGN_OR_RETURN(HostEntry host, DecodeHost(key, value));
                      hosts.push_back(std::move(host));
                    }
                    return hosts.size() < limit;
                  }));
  return hosts;
}

absl::Status EtcdVerifierStore::CheckKeysAndClient(const Read& at,
                                                   const HostEntry& host) {
  ASSIGN_OR_RETURN(const std::optional<HostEntry> same_client,
                   HostOfClientAt(at, host.client_identity, host.host_id));
  if (same_client && same_client->state != HostEntry::State::kRevoked &&
      host.state != HostEntry::State::kRevoked) {
    return absl::AlreadyExistsError(fmt::format(
        "{} has host {} already", host.client_identity, same_client->host_id));
  }
  for (const auto& [key, what] :
       {std::pair(AkKey(host), "AK"), std::pair(EkKey(host), "EK")}) {
    ASSIGN_OR_RETURN(const std::optional<std::string> other,
                     table_.Get(at, key));
    if (other && *other != host.host_id) {
      return absl::AlreadyExistsError(
          fmt::format("host {} has the same {} already", *other, what));
    }
  }
  return absl::OkStatus();
}

void EtcdVerifierStore::WriteHost(const HostEntry& host,
                                  const std::optional<HostEntry>& before,
                                  Change& change) {
  if (before && before->client_identity != host.client_identity) {
    change.Delete(ClientPrefix(before->client_identity) + host.host_id);
  }
  if (before && before->ak_name != host.ak_name) {
    change.Delete(AkKey(*before));
  }
  if (before && before->ek_fingerprint != host.ek_fingerprint) {
    change.Delete(EkKey(*before));
  }
  change.Put(HostKey(host.host_id), Encode(host));
  change.Put(ClientPrefix(host.client_identity) + host.host_id, "");
  change.Put(AkKey(host), host.host_id);
  change.Put(EkKey(host), host.host_id);
}

absl::StatusOr<uint64_t> EtcdVerifierStore::PutHost(const HostWrite& write) {
  const HostEntry& host = write.host;
  ASSIGN_OR_RETURN(const internal::StoredBytes event, UploadEvent(write.event));
  uint64_t sequence = 0;
  const absl::Status applied =
      table_.Apply([&](Change& change) -> absl::Status {
        ASSIGN_OR_RETURN(const std::optional<HostEntry> before,
                         HostAt(change, host.host_id));
        if (host.revision != (before ? before->revision : 0) + 1) {
          return absl::AbortedError(
              fmt::format("host {} changed meanwhile", host.host_id));
        }
        RETURN_IF_ERROR(CheckKeysAndClient(change, host));
        WriteHost(host, before, change);
        const bool was_revoked =
            before && before->state == HostEntry::State::kRevoked;
        if (host.state == HostEntry::State::kRevoked && !was_revoked) {
          change.counter.set_revocation_epoch(
              change.counter.revocation_epoch() + 1);
        }
        if (write.spend_permit) {
          change.Delete("permit/" + host.host_id);
        }
        ASSIGN_OR_RETURN(sequence, AddEvent(change, write.event, event));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(applied);
  return sequence;
}

absl::StatusOr<uint64_t> EtcdVerifierStore::RevocationEpoch() {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  return at.counter.revocation_epoch();
}

absl::Status EtcdVerifierStore::PutPermit(const RebindPermit& permit) {
  return table_.Apply([&](Change& change) {
    change.Put("permit/" + permit.host_id, Encode(permit));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<RebindPermit>> EtcdVerifierStore::FindPermit(
    const std::string& host_id) {
  const std::string key = "permit/" + host_id;
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
  if (!row) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(RebindPermit permit, DecodePermit(key, *row));
  return permit;
}

}  // namespace vmattest::verification
