#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "verification/etcd/etcd_verifier_store.h"
#include "verification/etcd/keys.h"
#include "verification/etcd/rows.h"

// The part of EtcdVerifierStore that is about references and orders.

namespace vmattest::verification {
namespace {

// More are claimed before the change: a transaction has its limit.
constexpr size_t kClaimsAtOnce = 80;
constexpr size_t kExpiredAtOnce = 30;

std::string ClaimPrefix(const std::string& vm_uuid) {
  return "claim/" + vm_uuid + '\0';
}
std::string RevisionPrefix(const std::string& name) {
  return "ref/" + name + '\0';
}
// Newest first.
std::string RevisionKey(const std::string& name, uint64_t revision) {
  return RevisionPrefix(name) + Inverse(revision);
}
std::string DocumentKey(const std::string& name, uint64_t revision) {
  return "doc/" + name + '\0' + Forward(revision);
}
std::string OrderPrefix(const std::string& host_id) {
  return "order/" + host_id + '\0';
}
std::string SerialKey(const BreakGlassEntry& order) {
  return "serial/" + ToHex(order.serial);
}

}  // namespace

absl::StatusOr<std::optional<ReferenceEntry>> EtcdVerifierStore::NewestAt(
    const Read& at, const std::string& name) {
  const std::string key = "new/" + name;
  ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
  if (!row) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(ReferenceEntry reference, DecodeReference(key, *row));
  return reference;
}

absl::Status EtcdVerifierStore::CheckClaims(const Read& at,
                                            const ReferenceEntry& reference) {
  for (const std::string& vm_uuid : reference.vm_uuids) {
    const std::string prefix = ClaimPrefix(vm_uuid);
    RETURN_IF_ERROR(table_.Scan(
        at, prefix, prefix,
        [&](const std::string& key,
            const std::string& /*value*/) -> absl::StatusOr<bool> {
          const std::string name = key.substr(prefix.size());
          if (name == reference.name) {
            return true;
          }
          ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> other,
                           NewestAt(at, name));
          if (other && std::find(other->vm_uuids.begin(), other->vm_uuids.end(),
                                 vm_uuid) != other->vm_uuids.end()) {
            return absl::AlreadyExistsError(fmt::format(
                "VM {} has the reference {} already", vm_uuid, name));
          }
          return true;
        }));
  }
  return absl::OkStatus();
}

// A claim without its reference, should it come to that, finds nothing.
absl::Status EtcdVerifierStore::ClaimAhead(const ReferenceEntry& reference) {
  if (reference.vm_uuids.size() <= kClaimsAtOnce) {
    return absl::OkStatus();
  }
  std::vector<etcd::Put> claims;
  for (const std::string& vm_uuid : reference.vm_uuids) {
    claims.push_back({ClaimPrefix(vm_uuid) + reference.name, ""});
    if (claims.size() == kClaimsAtOnce) {
      RETURN_IF_ERROR(table_.PutAhead(std::exchange(claims, {})));
    }
  }
  return claims.empty() ? absl::OkStatus() : table_.PutAhead(claims);
}

void EtcdVerifierStore::WriteReference(const ReferenceEntry& reference,
                                       const internal::StoredBytes& document,
                                       Change& change) {
  ReferenceEntry sorted = reference;
  std::sort(sorted.vm_uuids.begin(), sorted.vm_uuids.end());
  const std::string row = Encode(sorted);
  change.Put("new/" + reference.name, row);
  change.Put(RevisionKey(reference.name, reference.revision), row);
  change.Put(DocumentKey(reference.name, reference.revision),
             document.SerializeAsString());
  if (reference.vm_uuids.size() <= kClaimsAtOnce) {
    for (const std::string& vm_uuid : reference.vm_uuids) {
      change.Put(ClaimPrefix(vm_uuid) + reference.name, "");
    }
  }
}

absl::StatusOr<uint64_t> EtcdVerifierStore::PutReference(
    const ReferenceWrite& write) {
  const ReferenceEntry& reference = write.reference;
  ASSIGN_OR_RETURN(const internal::StoredBytes document,
                   table_.Upload(reference.document));
  ASSIGN_OR_RETURN(const internal::StoredBytes event, UploadEvent(write.event));
  uint64_t sequence = 0;
  bool claimed = false;
  const absl::Status applied =
      table_.Apply([&](Change& change) -> absl::Status {
        ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> before,
                         NewestAt(change, reference.name));
        const uint64_t newest = before ? before->revision : 0;
        if (newest != write.seen_revision || reference.revision <= newest) {
          return absl::AbortedError(
              fmt::format("reference {} is at revision {}, not {}",
                          reference.name, newest, write.seen_revision));
        }
        RETURN_IF_ERROR(CheckClaims(change, reference));
        if (!claimed) {
          RETURN_IF_ERROR(ClaimAhead(reference));
          claimed = true;
        }
        RETURN_IF_ERROR(table_.Keep(document, change));
        WriteReference(reference, document, change);
        ASSIGN_OR_RETURN(sequence, AddEvent(change, write.event, event));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(applied);
  return sequence;
}

absl::StatusOr<std::optional<ReferenceEntry>> EtcdVerifierStore::FindReference(
    const std::string& name, uint64_t revision) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::optional<ReferenceEntry> reference;
  if (revision == 0) {
    ASSIGN_OR_RETURN(reference, NewestAt(at, name));
  } else {
    const std::string key = RevisionKey(name, revision);
    ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
    if (row) {
      ASSIGN_OR_RETURN(reference, DecodeReference(key, *row));
    }
  }
  if (!reference) {
    return std::nullopt;
  }
  const std::string key = DocumentKey(name, reference->revision);
  ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
  ASSIGN_OR_RETURN(const auto stored, DecodeMessage<internal::StoredBytes>(
                                          key, row.value_or("missing")));
  ASSIGN_OR_RETURN(reference->document, table_.Load(at, stored));
  return reference;
}

absl::StatusOr<std::vector<uint64_t>> EtcdVerifierStore::RevisionsOf(
    const std::string& name) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<uint64_t> revisions;
  RETURN_IF_ERROR(
      table_.Scan(at, RevisionPrefix(name), RevisionPrefix(name),
                  [&](const std::string& key,
                      const std::string& value) -> absl::StatusOr<bool> {
                    ASSIGN_OR_RETURN(const ReferenceEntry reference,
                                     DecodeReference(key, value));
                    revisions.push_back(reference.revision);
                    return true;
                  }));
  std::reverse(revisions.begin(), revisions.end());
  return revisions;
}

absl::StatusOr<std::vector<ReferenceEntry>> EtcdVerifierStore::ListReferences(
    const std::string& after, size_t limit) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<ReferenceEntry> references;
  const std::string from =
      "new/" + after + (after.empty() ? "" : std::string(1, '\0'));
  RETURN_IF_ERROR(
      table_.Scan(at, "new/", from,
                  [&](const std::string& key,
                      const std::string& value) -> absl::StatusOr<bool> {
                    if (references.size() < limit) {
                      ASSIGN_OR_RETURN(ReferenceEntry reference,
                                       DecodeReference(key, value));
                      references.push_back(std::move(reference));
                    }
                    return references.size() < limit;
                  }));
  return references;
}

absl::StatusOr<std::vector<ReferenceEntry>> EtcdVerifierStore::ReferencesOf(
    const std::string& vm_uuid, int64_t now_unix_ms) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<ReferenceEntry> references;
  const auto newest_valid =
      [&](const std::string& key,
          const std::string& value) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(ReferenceEntry reference, DecodeReference(key, value));
    const bool valid = reference.not_before_unix_ms <= now_unix_ms &&
                       reference.not_after_unix_ms > now_unix_ms;
    if (valid) {
      references.push_back(std::move(reference));
    }
    return !valid;
  };
  const std::string prefix = ClaimPrefix(vm_uuid);
  const absl::Status scanned = table_.Scan(
      at, prefix, prefix,
      [&](const std::string& key,
          const std::string& /*value*/) -> absl::StatusOr<bool> {
        const std::string revisions = RevisionPrefix(key.substr(prefix.size()));
        RETURN_IF_ERROR(table_.Scan(at, revisions, revisions, newest_valid));
        return true;
      });
  RETURN_IF_ERROR(scanned);
  return references;
}

void EtcdVerifierStore::WriteOrder(const BreakGlassEntry& order,
                                   Change& change) {
  change.Put(OrderPrefix(order.host_id) + ToHex(order.serial), Encode(order));
  change.Put(SerialKey(order), order.host_id);
}

absl::Status EtcdVerifierStore::DropExpiredOrders(Change& change,
                                                  int64_t now_unix_ms,
                                                  const std::string& but) {
  size_t dropped = 0;
  return table_.Scan(
      change, "order/", "order/",
      [&](const std::string& key,
          const std::string& value) -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(const BreakGlassEntry order, DecodeOrder(key, value));
        const std::string serial = SerialKey(order);
        // `but` is about to be written again.
        if (order.not_after_unix_ms < now_unix_ms && serial != but) {
          change.Delete(key);
          change.Delete(serial);
          ++dropped;
        }
        return dropped < kExpiredAtOnce;
      });
}

absl::StatusOr<uint64_t> EtcdVerifierStore::PutBreakGlass(
    const BreakGlassWrite& write) {
  const BreakGlassEntry& order = write.order;
  const int64_t now = order.stored_unix_ms;
  ASSIGN_OR_RETURN(const internal::StoredBytes event, UploadEvent(write.event));
  uint64_t sequence = 0;
  const absl::Status applied =
      table_.Apply([&](Change& change) -> absl::Status {
        const std::string serial = SerialKey(order);
        ASSIGN_OR_RETURN(const std::optional<std::string> host,
                         table_.Get(change, serial));
        if (host) {
          const std::string key = OrderPrefix(*host) + ToHex(order.serial);
          ASSIGN_OR_RETURN(const std::optional<std::string> row,
                           table_.Get(change, key));
          ASSIGN_OR_RETURN(const BreakGlassEntry other,
                           DecodeOrder(key, row.value_or("missing")));
          if (other.not_after_unix_ms >= now) {
            return absl::AlreadyExistsError("the order's serial is known");
          }
          if (*host != order.host_id) {
            change.Delete(key);
          }
        }
        size_t others = 0;
        const std::string prefix = OrderPrefix(order.host_id);
        RETURN_IF_ERROR(
            table_.Scan(change, prefix, prefix,
                        [&](const std::string& key,
                            const std::string& value) -> absl::StatusOr<bool> {
                          ASSIGN_OR_RETURN(const BreakGlassEntry other,
                                           DecodeOrder(key, value));
                          others += other.not_after_unix_ms >= now ? 1 : 0;
                          return true;
                        }));
        if (others >= write.most) {
          return absl::ResourceExhaustedError(fmt::format(
              "host {} has {} orders already", order.host_id, others));
        }
        RETURN_IF_ERROR(DropExpiredOrders(change, now, serial));
        WriteOrder(order, change);
        ASSIGN_OR_RETURN(sequence, AddEvent(change, write.event, event));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(applied);
  return sequence;
}

absl::StatusOr<std::vector<BreakGlassEntry>> EtcdVerifierStore::BreakGlassOf(
    const std::string& host_id, int64_t now_unix_ms) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<BreakGlassEntry> orders;
  const std::string prefix = OrderPrefix(host_id);
  RETURN_IF_ERROR(table_.Scan(
      at, prefix, prefix,
      [&](const std::string& key,
          const std::string& value) -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(BreakGlassEntry order, DecodeOrder(key, value));
        if (order.not_after_unix_ms >= now_unix_ms) {
          orders.push_back(std::move(order));
        }
        return true;
      }));
  return orders;
}

}  // namespace vmattest::verification
