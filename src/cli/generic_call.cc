#include "cli/generic_call.h"

#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::cli {
namespace {

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string FromBuffer(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return bytes;
}

// One operation at a time, so the queue's next tag is always its end.
bool Await(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok;
}

}  // namespace

absl::Status GenericCall(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
    const std::string& request, const CallOptions& options,
    const std::function<absl::Status(const std::string&)>& on_response) {
  grpc::ClientContext context;
  context.set_deadline(options.deadline);
  for (const auto& [name, value] : options.headers) {
    context.AddMetadata(name, value);
  }
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, "/" + method, &queue);
  call->StartCall(nullptr);
  absl::Status refused;
  if (Await(queue)) {
    call->Write(ToBuffer(request), grpc::WriteOptions().set_last_message(),
                nullptr);
    if (Await(queue)) {
      grpc::ByteBuffer response;
      for (call->Read(&response, nullptr); Await(queue);
           call->Read(&response, nullptr)) {
        refused = on_response(FromBuffer(response));
        if (!refused.ok()) {
          context.TryCancel();
          break;
        }
      }
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  (void)Await(queue);
  queue.Shutdown();
  return refused.ok() ? rpc::FromGrpc(status) : refused;
}

}  // namespace vmattest::cli
