#include "verification/order_book.h"

#include <utility>

#include "base/log.h"
#include "base/uuid.h"
#include "fmt/format.h"
#include "vmattest/v1/document.pb.h"

namespace vmattest::verification {
namespace {

constexpr size_t kSerialSize = 16;
// An EK's digest: docs/formats/enrollment.md.
constexpr size_t kMinHostId = 32;
constexpr size_t kMaxHostId = 64;

absl::StatusOr<BreakGlassEntry> ToEntry(ByteView payload, ByteView document,
                                        int64_t now) {
  v1::BreakGlassOrder order;
  if (!order.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
      order.header().version() != 1 || order.serial().size() != kSerialSize) {
    return absl::InvalidArgumentError("no break-glass order of version 1");
  }
  ASSIGN_OR_RETURN_WITH(const Uuid vm, ParseUuid(order.vm_uuid()), "vm_uuid");
  ASSIGN_OR_RETURN_WITH(const Bytes host, ParseHex(order.host_id()), "host_id");
  if (host.size() < kMinHostId || host.size() > kMaxHostId) {
    return absl::InvalidArgumentError("host_id: no host's");
  }
  if (order.header().not_after_unix_ms() < now) {
    return absl::InvalidArgumentError("the order has run out");
  }
  return BreakGlassEntry{
      .serial = ToBytes(order.serial()),
      .vm_uuid = ToString(vm),
      .host_id = ToHex(host),
      .not_after_unix_ms = order.header().not_after_unix_ms(),
      .stored_unix_ms = now,
      .document = ToBytes(document)};
}

DecisionEntry EventOf(const BreakGlassEntry& order) {
  DecisionEntry event;
  event.kind = DecisionEntry::Kind::kHost;
  event.time_unix_ms = order.stored_unix_ms;
  event.trusted = true;
  event.host_id = order.host_id;
  event.reasons = {
      {"break-glass-order", order.vm_uuid, "", ToHex(order.serial)}};
  event.fixes = {""};
  return event;
}

}  // namespace

absl::StatusOr<OrderBook::Put> OrderBook::PutDocument(ByteView document,
                                                      const MayVm& may) {
  if (document.size() > kMaxOrderSize) {
    return absl::InvalidArgumentError(
        fmt::format("an order has at most {} bytes", kMaxOrderSize));
  }
  const auto approvers = parts_.approvers.Get();
  const document::Opened opened =
      document::Open(document, document::kBreakGlassPayloadType, *approvers);
  if (!opened.verdict.trusted()) {
    return Put{opened.verdict, {}};
  }
  const int64_t now = parts_.clock.Now().time_since_epoch().count();
  ASSIGN_OR_RETURN(BreakGlassEntry order,
                   ToEntry(opened.payload, document, now));
  if (!may(order.vm_uuid)) {
    return absl::PermissionDeniedError("the order is about a VM of others");
  }
  const DecisionEntry event = EventOf(order);
  ASSIGN_OR_RETURN(const uint64_t sequence,
                   parts_.store.PutBreakGlass(
                       {.order = order, .most = kMostOfHost, .event = event}));
  log::Warning("break-glass order", {{"vm_uuid", order.vm_uuid},
                                     {"host_id", order.host_id},
                                     {"serial", ToHex(order.serial)},
                                     {"approver", opened.signer->name}});
  parts_.log.Stored(sequence, event);
  return Put{opened.verdict, std::move(order)};
}

absl::StatusOr<std::vector<Bytes>> OrderBook::ForHost(
    const std::string& host_id) {
  ASSIGN_OR_RETURN(std::vector<BreakGlassEntry> orders,
                   parts_.store.BreakGlassOf(
                       host_id, parts_.clock.Now().time_since_epoch().count()));
  std::vector<Bytes> documents;
  for (BreakGlassEntry& order : orders) {
    documents.push_back(std::move(order.document));
  }
  return documents;
}

}  // namespace vmattest::verification
