#include "cli/register_image_command.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "gate/protocol/messages.h"
#include "ipc/channel.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<UniqueFd> Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("--hook-socket: too long");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return absl::UnavailableError(fmt::format(
        "the gate of vmattestd cannot be reached at {}: {} (as root? "
        "gate.enabled?)",
        path, std::strerror(errno)));
  }
  return socket;
}

absl::StatusOr<gate::GateReply> Ask(const RegisterImageArgs& args) {
  UniqueFd image(open(args.file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!image.valid()) {
    return ErrnoStatus(errno, args.file);
  }
  gate::GateCall call;
  call.nonce = RandomBytes(gate::kGateNonceSize);
  call.domain = args.domain;
  call.operation = std::string(gate::kRegisterImage);
  call.handed.push_back({std::string(gate::kSavedImage), args.file, nullptr});
  ipc::Message message{gate::Encode(call), {}};
  message.descriptors.push_back(std::move(image));
  const MonotonicTime deadline =
      SystemClock().Monotonic() + std::chrono::seconds(args.timeout_seconds);
  ASSIGN_OR_RETURN(UniqueFd socket, Connect(args.hook_socket));
  ipc::Channel channel(std::move(socket), gate::kMaxGateCall);
  RETURN_IF_ERROR(channel.Send(message, deadline));
  ASSIGN_OR_RETURN(const ipc::Message reply, channel.Receive(deadline));
  return gate::ParseReply(reply.bytes);
}

}  // namespace

int RunRegisterImage(const RegisterImageArgs& args, std::ostream& out,
                     std::ostream& err) {
  const absl::StatusOr<gate::GateReply> reply = Ask(args);
  if (!reply.ok()) {
    err << fmt::format("vmattest: {}\n", std::string(reply.status().message()));
    return ExitCodeOf(reply.status());
  }
  if (!reply->allowed) {
    err << fmt::format("vmattest: {}: {} [{}]\n", args.file, reply->sentence,
                       reply->code);
    return kExitNotTrustworthy;
  }
  out << fmt::format("registered {} for {}\n", args.file, args.domain);
  return kExitGood;
}

}  // namespace vmattest::cli
