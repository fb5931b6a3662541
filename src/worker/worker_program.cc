#include "worker/worker_program.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "ipc/sandbox.h"

namespace vmattest::worker {
namespace {

constexpr int kGood = 0;
constexpr int kBroken = 1;
constexpr int kUsage = 2;
constexpr size_t kMaxMessage = 32U << 20;

bool HasChannel() {
  struct stat info {};
  return fstat(ipc::kChannelFd, &info) == 0 && S_ISSOCK(info.st_mode);
}

absl::Status Lock(const WorkerProgram& program) {
  int helper = -1;
  if (program.begin) {
    ASSIGN_OR_RETURN(helper, program.begin());
  }
  if (program.prepare) {
    program.prepare();
  }
  RETURN_IF_ERROR(ipc::HideMemory());
  RETURN_IF_ERROR(ipc::RenounceCapabilities());
  return ipc::EnterWorkerSandbox(helper, program.maps_files);
}

absl::Status Send(ipc::Channel& channel, const internal::WorkerReply& reply) {
  ipc::Message message{Bytes(reply.ByteSizeLong()), {}};
  (void)reply.SerializeToArray(message.bytes.data(),
                               static_cast<int>(message.bytes.size()));
  return channel.Send(message, ipc::kNoDeadline);
}

internal::WorkerReply Refusal(const absl::Status& status) {
  internal::WorkerReply reply;
  reply.set_code(status.raw_code());
  reply.set_message(std::string(status.message()));
  return reply;
}

absl::StatusOr<internal::WorkerReply> Handle(
    const WorkerProgram& program, const internal::WorkerRequest& request,
    std::vector<UniqueFd> descriptors, ipc::Channel& channel) {
  const auto progress = [&channel](uint64_t bytes) {
    internal::WorkerReply reply;
    reply.mutable_progress()->set_bytes(bytes);
    (void)Send(channel, reply);
  };
  try {
    return program.handle(request, std::move(descriptors), progress);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("it takes too much memory");
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

int Serve(const WorkerProgram& program) {
  if (const absl::Status status = Lock(program); !status.ok()) {
    fmt::print(stderr, "{}: {}\n", program.name, status.ToString());
    return kBroken;
  }
  ipc::Channel channel(UniqueFd(ipc::kChannelFd), kMaxMessage);
  do {
    absl::StatusOr<ipc::Message> message = channel.Receive(ipc::kNoDeadline);
    if (!message.ok()) {
      return absl::IsUnavailable(message.status()) ? kGood : kBroken;
    }
    internal::WorkerRequest request;
    if (!request.ParseFromArray(message->bytes.data(),
                                static_cast<int>(message->bytes.size()))) {
      return kBroken;
    }
    const absl::StatusOr<internal::WorkerReply> reply =
        Handle(program, request, std::move(message->descriptors), channel);
    if (!Send(channel, reply.ok() ? *reply : Refusal(reply.status())).ok()) {
      return kBroken;
    }
  } while (program.serves_many);
  return kGood;
}

}  // namespace

int RunWorker(int argc, char** argv, const WorkerProgram& program) {
  const std::string_view word = argc == 2 ? argv[1] : "";
  if (word == "--version") {
    fmt::print("{} {}\n", program.name, VMATTEST_VERSION);
    return kGood;
  }
  if (word == "--help") {
    fmt::print(
        "{}: reads what guests wrote for vmattestd in a process that can do "
        "nothing "
        "else.\nOnly vmattestd starts it, with a socket as descriptor {}.\n",
        program.name, ipc::kChannelFd);
    return kGood;
  }
  if (argc > 1 || !HasChannel()) {
    fmt::print(stderr, "{}: only vmattestd starts this program\n",
               program.name);
    return kUsage;
  }
  // Destructors of libraries would make calls that are forbidden now.
  _exit(Serve(program));
}

}  // namespace vmattest::worker
