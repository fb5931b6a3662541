#include "rpc/ledger_service.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "rpc/call_context.h"
#include "rpc/ledger_conversions.h"
#include "rpc/ledger_streams.h"
#include "rpc/pumped_stream.h"
#include "rpc/run_authorized.h"

namespace vmattest::rpc {
namespace {

constexpr uint32_t kDefaultHistory = 100;
constexpr uint32_t kMaxHistory = 1'000;
constexpr uint32_t kDefaultRecords = 256;
constexpr uint32_t kMaxRecords = 1'024;
// Well below the smallest message that a client takes.
constexpr size_t kMaxRecordsBytes = 2u << 20;

std::string Method(std::string_view name) {
  return fmt::format("vmattest.v1.Ledger/{}", name);
}

template <class Message>
void AddPath(const std::vector<Bytes>& path, Message& message) {
  for (const Bytes& hash : path) {
    message.add_path(std::string(AsText(hash)));
  }
}

}  // namespace

ServiceMaker LedgerServices(const LedgerParts& parts) {
  return [parts](const Authorizer& authorizer) {
    std::vector<ServedService> services;
    if (authorizer.listener() != Listener::kReadSocket ||
        parts.on_read_socket) {
      services.push_back(
          {.name = "vmattest.v1.Ledger",
           .service = std::make_unique<LedgerService>(parts, authorizer),
           .needs = {"ledger"}});
    }
    return services;
  };
}

template <class Request, class Response, class Work>
grpc::ServerUnaryReactor* LedgerService::Run(
    const grpc::CallbackServerContext& context, std::string_view method,
    const Request& request, Response* response, Work work) {
  return RunAuthorized(authorizer_, Method(method), context, parts_.requests,
                       request, response, std::move(work));
}

// Not RunAuthorized: no request thread waits for the commit.
grpc::ServerUnaryReactor* LedgerService::Submit(
    grpc::CallbackServerContext* context, const v1::SubmitRequest* request,
    v1::SubmitResponse* response) {
  const absl::StatusOr<Authority> authority = authorizer_.Authorize(
      Method("Submit"), IdentitiesOf(*context->auth_context()));
  if (!authority.ok()) {
    return AnswerNow(response,
                     absl::StatusOr<v1::SubmitResponse>(authority.status()));
  }
  auto [call, reactor] = PendingCall<v1::SubmitResponse>::Start(response);
  const absl::Status handed = parts_.requests.Submit(
      [this, call = call, entry = ToBytes(request->entry())]() mutable {
        const absl::Status taken = parts_.node.Submit(
            std::move(entry),
            [this, call](absl::StatusOr<ledger::Sequencer::Submitted> got) {
              call->Finish(
                  got.ok()
                      ? absl::StatusOr<v1::SubmitResponse>(ToWire(*got))
                      : SubmitReason(got.status(), parts_.node.leadership()));
            });
        if (absl::IsInvalidArgument(taken)) {
          call->Finish(FieldError("entry", std::string(taken.message())));
        } else if (!taken.ok()) {
          call->Finish(taken);
        }
      });
  if (!handed.ok()) {
    call->Finish(handed);
  }
  return reactor;
}

grpc::ServerUnaryReactor* LedgerService::GetWriter(
    grpc::CallbackServerContext* context, const v1::GetWriterRequest* request,
    v1::GetWriterResponse* response) {
  return Run(
      *context, "GetWriter", *request, response,
      [this](const Authority&, const v1::GetWriterRequest& wanted)
          -> absl::StatusOr<v1::GetWriterResponse> {
        return parts_.node.log().With([&](const ledger::LogState& state) {
          v1::GetWriterResponse wire;
          const ledger::Writer* const writer =
              state.FindWriter(wanted.writer());
          if (writer != nullptr) {
            wire.set_sequence(writer->sequence);
            wire.set_last_hash(std::string(AsText(writer->last_hash)));
            wire.set_authorised(writer->key != nullptr && !writer->revoked);
            wire.set_revoked(writer->revoked);
            wire.set_key_spki(std::string(AsText(writer->key_spki)));
          }
          for (const Uuid& vm : state.fold().VmsOf(wanted.writer())) {
            if (state.fold().FindVm(vm)->running) {
              wire.add_running(std::string(vm.bytes.begin(), vm.bytes.end()));
            }
          }
          if (const auto* host = state.fold().FindHost(wanted.writer())) {
            wire.set_tick(host->ticks);
          }
          return wire;
        });
      });
}

grpc::ServerUnaryReactor* LedgerService::GetTrust(
    grpc::CallbackServerContext* context, const v1::GetTrustRequest* request,
    v1::GetTrustResponse* response) {
  return Run(
      *context, "GetTrust", *request, response,
      [this](const Authority& authority, const v1::GetTrustRequest& wanted)
          -> absl::StatusOr<v1::GetTrustResponse> {
        ASSIGN_OR_RETURN(const Uuid vm,
                         LedgerVmOf(authority, wanted.vm_uuid()));
        const auto trust = parts_.node.GetTrust(vm);
        if (!trust.ok()) {
          return TrustReason(trust.status());
        }
        return ToWire(vm, *trust, parts_.node.checkpoint().unwitnessed);
      });
}

grpc::ServerUnaryReactor* LedgerService::ListHistory(
    grpc::CallbackServerContext* context, const v1::ListHistoryRequest* request,
    v1::ListHistoryResponse* response) {
  return Run(
      *context, "ListHistory", *request, response,
      [this](const Authority& authority, const v1::ListHistoryRequest& wanted)
          -> absl::StatusOr<v1::ListHistoryResponse> {
        ASSIGN_OR_RETURN(const Uuid vm,
                         LedgerVmOf(authority, wanted.vm_uuid()));
        const uint32_t limit = wanted.limit() == 0
                                   ? kDefaultHistory
                                   : std::min(wanted.limit(), kMaxHistory);
        const auto items =
            parts_.node.History(vm, wanted.before_index(), limit);
        if (!items.ok()) {
          return TrustReason(items.status());
        }
        v1::ListHistoryResponse wire;
        size_t bytes = 0;
        for (const ledger::LedgerNode::HistoryItem& item : *items) {
          bytes += item.record.size();
          if (bytes > kMaxRecordsBytes && wire.items_size() > 0) {
            break;
          }
          v1::ListHistoryResponse::Item& added = *wire.add_items();
          added.set_index(item.index);
          added.set_record(std::string(AsText(item.record)));
        }
        return wire;
      });
}

grpc::ServerUnaryReactor* LedgerService::GetCheckpoint(
    grpc::CallbackServerContext* context,
    const v1::GetCheckpointRequest* request,
    v1::GetCheckpointResponse* response) {
  return Run(*context, "GetCheckpoint", *request, response,
             [this](const Authority&, const v1::GetCheckpointRequest&)
                 -> absl::StatusOr<v1::GetCheckpointResponse> {
               const auto state = parts_.node.checkpoint();
               v1::GetCheckpointResponse wire;
               wire.set_checkpoint(state.note);
               wire.set_committed(parts_.node.log().head().size);
               wire.set_witnessed(state.witnessed);
               for (const std::string& problem : state.problems) {
                 wire.add_problems(problem);
               }
               if (state.fork) {
                 wire.set_fork_proof(tlog::EncodeForkProof(*state.fork));
               }
               return wire;
             });
}

grpc::ServerUnaryReactor* LedgerService::GetInclusionProof(
    grpc::CallbackServerContext* context,
    const v1::GetInclusionProofRequest* request,
    v1::GetInclusionProofResponse* response) {
  return Run(
      *context, "GetInclusionProof", *request, response,
      [this](const Authority&, const v1::GetInclusionProofRequest& wanted)
          -> absl::StatusOr<v1::GetInclusionProofResponse> {
        v1::GetInclusionProofResponse wire;
        wire.set_size(wanted.size() == 0 ? parts_.node.checkpoint().witnessed
                                         : wanted.size());
        ASSIGN_OR_RETURN(
            const std::vector<Bytes> path,
            parts_.node.log().InclusionProof(wanted.index(), wire.size()));
        AddPath(path, wire);
        return wire;
      });
}

grpc::ServerUnaryReactor* LedgerService::GetConsistencyProof(
    grpc::CallbackServerContext* context,
    const v1::GetConsistencyProofRequest* request,
    v1::GetConsistencyProofResponse* response) {
  return Run(
      *context, "GetConsistencyProof", *request, response,
      [this](const Authority&, const v1::GetConsistencyProofRequest& wanted)
          -> absl::StatusOr<v1::GetConsistencyProofResponse> {
        v1::GetConsistencyProofResponse wire;
        ASSIGN_OR_RETURN(const std::vector<Bytes> path,
                         parts_.node.log().ConsistencyProof(wanted.old_size(),
                                                            wanted.size()));
        AddPath(path, wire);
        return wire;
      });
}

grpc::ServerUnaryReactor* LedgerService::ListRecords(
    grpc::CallbackServerContext* context, const v1::ListRecordsRequest* request,
    v1::ListRecordsResponse* response) {
  return Run(*context, "ListRecords", *request, response,
             [this](const Authority&, const v1::ListRecordsRequest& wanted)
                 -> absl::StatusOr<v1::ListRecordsResponse> {
               const uint32_t limit =
                   wanted.limit() == 0 ? kDefaultRecords
                                       : std::min(wanted.limit(), kMaxRecords);
               v1::ListRecordsResponse wire;
               wire.set_committed(parts_.node.log().head().size);
               ASSIGN_OR_RETURN(
                   const std::vector<Bytes> records,
                   parts_.node.log().store().Records(wanted.begin(), limit));
               size_t bytes = 0;
               for (const Bytes& record : records) {
                 bytes += record.size();
                 if (bytes > kMaxRecordsBytes && wire.records_size() > 0) {
                   break;
                 }
                 wire.add_records(std::string(AsText(record)));
               }
               return wire;
             });
}

grpc::ServerUnaryReactor* LedgerService::AddCheckpoint(
    grpc::CallbackServerContext* context,
    const v1::AddCheckpointRequest* request,
    v1::AddCheckpointResponse* response) {
  return Run(*context, "AddCheckpoint", *request, response,
             [this](const Authority&, const v1::AddCheckpointRequest& wanted)
                 -> absl::StatusOr<v1::AddCheckpointResponse> {
               ASSIGN_OR_RETURN(const tlog::WitnessReply reply,
                                parts_.node.AddCheckpoint(FromWire(wanted)));
               return ToWire(reply);
             });
}

grpc::ServerWriteReactor<v1::GetTrustResponse>* LedgerService::WatchVm(
    grpc::CallbackServerContext* context, const v1::WatchVmRequest* request) {
  const absl::StatusOr<Authority> authority = authorizer_.Authorize(
      Method("WatchVm"), IdentitiesOf(*context->auth_context()));
  if (!authority.ok()) {
    return RefuseStream<v1::GetTrustResponse>(authority.status());
  }
  const absl::StatusOr<Uuid> vm = LedgerVmOf(*authority, request->vm_uuid());
  return vm.ok() ? StartTrustStream(parts_, *vm)
                 : RefuseStream<v1::GetTrustResponse>(vm.status());
}

grpc::ServerWriteReactor<v1::WatchAllResponse>* LedgerService::WatchAll(
    grpc::CallbackServerContext* context, const v1::WatchAllRequest* request) {
  const absl::StatusOr<Authority> authority = authorizer_.Authorize(
      Method("WatchAll"), IdentitiesOf(*context->auth_context()));
  return authority.ok()
             ? StartRecordStream(parts_, request->begin())
             : RefuseStream<v1::WatchAllResponse>(authority.status());
}

}  // namespace vmattest::rpc
