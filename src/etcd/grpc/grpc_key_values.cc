#include "etcd/grpc/grpc_key_values.h"

#include <algorithm>
#include <utility>

#include "etcd/grpc/member.h"
#include "etcd/grpc/members.h"
#include "fmt/format.h"
#include "rpc/client/tls_channel.h"

namespace vmattest::etcd {
namespace {

namespace pb = etcdserverpb;

// --max-request-bytes, as it is by default, less what etcd adds.
constexpr size_t kMostRequestBytes = (3u << 19) - 8192;

pb::RangeRequest ToProto(const RangeQuery& query) {
  pb::RangeRequest request;
  request.set_key(query.key);
  request.set_range_end(query.end);
  request.set_limit(query.limit);
  request.set_revision(query.revision);
  request.set_keys_only(query.keys_only);
  return request;
}

pb::Compare ToProto(const Condition& condition) {
  pb::Compare compare;
  compare.set_result(pb::Compare::EQUAL);
  compare.set_key(condition.key);
  switch (condition.of) {
    case Condition::Of::kCreateRevision:
      compare.set_target(pb::Compare::CREATE);
      compare.set_create_revision(condition.revision);
      break;
    case Condition::Of::kModRevision:
      compare.set_target(pb::Compare::MOD);
      compare.set_mod_revision(condition.revision);
      break;
  }
  return compare;
}

pb::TxnRequest ToProto(const Transaction& transaction) {
  pb::TxnRequest request;
  for (const Condition& condition : transaction.conditions) {
    *request.add_compare() = ToProto(condition);
  }
  for (const auto& write : transaction.writes) {
    pb::RequestOp& op = *request.add_success();
    if (const Put* put = std::get_if<Put>(&write)) {
      pb::PutRequest& wire = *op.mutable_request_put();
      wire.set_key(put->key);
      wire.set_value(put->value);
      wire.set_lease(put->lease);
    } else {
      const Delete& gone = std::get<Delete>(write);
      pb::DeleteRangeRequest& wire = *op.mutable_request_delete_range();
      wire.set_key(gone.key);
      wire.set_range_end(gone.end);
    }
  }
  return request;
}

KeyValue FromProto(pb::KeyValue& wire) {
  return {.key = std::move(*wire.mutable_key()),
          .value = std::move(*wire.mutable_value()),
          .create_revision = wire.create_revision(),
          .mod_revision = wire.mod_revision(),
          .lease = wire.lease()};
}

std::string Clause(const Transaction& transaction) {
  if (transaction.writes.empty()) {
    return "an empty transaction";
  }
  const auto& first = transaction.writes.front();
  const Put* put = std::get_if<Put>(&first);
  return fmt::format(
      "writing {}",
      Printable(put != nullptr ? put->key : std::get<Delete>(first).key));
}

}  // namespace

GrpcKeyValues::GrpcKeyValues(const Options& options)
    : members_(std::make_unique<Members>(options)) {}

GrpcKeyValues::~GrpcKeyValues() = default;

absl::StatusOr<std::unique_ptr<GrpcKeyValues>> GrpcKeyValues::Create(
    const Options& options) {
  if (options.endpoints.empty()) {
    return absl::InvalidArgumentError("etcd without an endpoint");
  }
  std::unique_ptr<GrpcKeyValues> store(new GrpcKeyValues(options));
  for (const std::string& endpoint : options.endpoints) {
    ASSIGN_OR_RETURN(
        auto channel,
        rpc::TlsChannel(endpoint, {.certificate = options.certificate,
                                   .private_key = options.private_key,
                                   .ca = options.ca,
                                   .server_name = options.server_name}));
    store->members_->Add(endpoint, std::move(channel));
  }
  return store;
}

absl::StatusOr<RangeResult> GrpcKeyValues::Range(const RangeQuery& query,
                                                 MonotonicTime deadline) {
  const pb::RangeRequest request = ToProto(query);
  RangeResult result;
  RETURN_IF_ERROR_WITH(
      members_->Ask(Members::Repeat::kYes, deadline,
                    [&](Member& member, grpc::ClientContext& context) {
                      pb::RangeResponse response;
                      const Members::Answer answer = {
                          member.kv->Range(&context, request, &response),
                          response.header()};
                      result = {.revision = response.header().revision(),
                                .more = response.more()};
                      for (pb::KeyValue& pair : *response.mutable_kvs()) {
                        result.kvs.push_back(FromProto(pair));
                      }
                      return answer;
                    }),
      fmt::format("reading {}", Printable(query.key)));
  return result;
}

absl::StatusOr<Outcome> GrpcKeyValues::Transact(const Transaction& transaction,
                                                MonotonicTime deadline) {
  const pb::TxnRequest request = ToProto(transaction);
  if (request.ByteSizeLong() > kMostRequestBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} bytes at once; etcd takes {}", Clause(transaction),
                    request.ByteSizeLong(), kMostRequestBytes));
  }
  pb::TxnResponse response;
  RETURN_IF_ERROR_WITH(
      members_->Ask(Members::Repeat::kNo, deadline,
                    [&](Member& member, grpc::ClientContext& context) {
                      const grpc::Status status =
                          member.kv->Txn(&context, request, &response);
                      return Members::Answer{status, response.header()};
                    }),
      Clause(transaction));
  return Outcome{.done = response.succeeded(),
                 .revision = response.header().revision()};
}

absl::StatusOr<int64_t> GrpcKeyValues::GrantLease(std::chrono::seconds ttl,
                                                  MonotonicTime deadline) {
  pb::LeaseGrantRequest request;
  request.set_ttl(ttl.count());
  pb::LeaseGrantResponse response;
  // A lease that was granted and forgotten runs out.
  RETURN_IF_ERROR_WITH(
      members_->Ask(Members::Repeat::kYes, deadline,
                    [&](Member& member, grpc::ClientContext& context) {
                      const grpc::Status status = member.lease->LeaseGrant(
                          &context, request, &response);
                      return Members::Answer{status, response.header(), false};
                    }),
      "a lease");
  return response.id();
}

absl::Status GrpcKeyValues::KeepAlive(int64_t lease, MonotonicTime deadline) {
  pb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  int64_t left = 0;
  RETURN_IF_ERROR_WITH(
      members_->Ask(
          Members::Repeat::kYes, deadline,
          [&](Member& member, grpc::ClientContext& context) {
            pb::LeaseKeepAliveResponse response;
            const auto stream = member.lease->LeaseKeepAlive(&context);
            stream->Write(request);
            stream->WritesDone();
            const bool answered = stream->Read(&response);
            left = answered ? response.ttl() : 0;
            const grpc::Status status = stream->Finish();
            return Members::Answer{
                answered ? grpc::Status::OK
                : status.ok()
                    ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "no answer")
                    : status,
                response.header(), false};
          }),
      fmt::format("keeping lease {:x}", lease));
  return left > 0 ? absl::OkStatus()
                  : absl::NotFoundError(
                        fmt::format("etcd's lease {:x} ran out", lease));
}

absl::Status GrpcKeyValues::RevokeLease(int64_t lease, MonotonicTime deadline) {
  pb::LeaseRevokeRequest request;
  request.set_id(lease);
  pb::LeaseRevokeResponse response;
  const absl::Status status =
      members_->Ask(Members::Repeat::kYes, deadline,
                    [&](Member& member, grpc::ClientContext& context) {
                      const grpc::Status done = member.lease->LeaseRevoke(
                          &context, request, &response);
                      return Members::Answer{done, response.header(), false};
                    });
  return absl::IsNotFound(status)
             ? absl::OkStatus()
             : Annotate(status, fmt::format("giving up lease {:x}", lease));
}

Seen GrpcKeyValues::seen() const { return members_->sentinel().seen(); }

}  // namespace vmattest::etcd
