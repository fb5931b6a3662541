#include "gate/socket/hook_server.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "fmt/format.h"

namespace vmattest::gate {
namespace {

constexpr int kBacklog = 256;
constexpr size_t kRefusals = 256;
constexpr mode_t kMode = 0600;

absl::StatusOr<UniqueFd> Bind(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: too long for a socket", path.string()));
  }
  std::memcpy(address.sun_path, path.c_str(), path.string().size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  (void)unlink(path.c_str());
  // The process's umask leaves nothing to others; the mode makes it certain
  // before anybody can connect, which takes listen().
  if (!socket.valid() ||
      bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0 ||
      chmod(path.c_str(), kMode) != 0 || listen(socket.get(), kBacklog) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  return socket;
}

bool IsOurs(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

}  // namespace

absl::StatusOr<std::unique_ptr<HookServer>> HookServer::Start(
    Options options, Handlers handlers) {
  ASSIGN_OR_RETURN(UniqueFd listener, Bind(options.path));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) {
    return ErrnoStatus(errno, "eventfd");
  }
  return std::unique_ptr<HookServer>(
      new HookServer(std::move(options), std::move(handlers),
                     std::move(listener), std::move(wake)));
}

HookServer::HookServer(Options options, Handlers handlers, UniqueFd listener,
                       UniqueFd wake)
    : options_(std::move(options)),
      handlers_(std::move(handlers)),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      deciding_("gate", options_.threads, options_.max_waiting),
      refusing_("gate-refuse", 1, kRefusals),
      thread_([this] { Listen(); }) {}

HookServer::~HookServer() {
  StopListening();
  deciding_.Shutdown();
  refusing_.Shutdown();
}

void HookServer::StopListening() {
  if (!thread_.joinable()) {
    return;
  }
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
  thread_.join();
  (void)unlink(options_.path.c_str());
}

void HookServer::Listen() {
  pthread_setname_np(pthread_self(), "gate-accept");
  while (true) {
    pollfd waits[] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) {
      log::Error("the hook socket failed", {{"errno", std::to_string(errno)}});
      return;
    }
    if (waits[1].revents != 0) {
      return;
    }
    if (waits[0].revents == 0) {
      continue;
    }
    UniqueFd accepted(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted.valid() || !IsOurs(accepted.get())) {
      continue;
    }
    const auto channel =
        std::make_shared<ipc::Channel>(std::move(accepted), kMaxGateCall);
    if (!deciding_.Submit([this, channel] { Serve(channel, false); }).ok()) {
      // Not even a refusal can be queued: the hook sees us hang up.
      refusing_.Submit([this, channel] { Serve(channel, true); }).IgnoreError();
    }
  }
}

void HookServer::Serve(const std::shared_ptr<ipc::Channel>& channel,
                       bool busy) {
  const auto now = [] { return std::chrono::steady_clock::now(); };
  absl::StatusOr<ipc::Message> message = channel->Receive(now() + options_.io);
  absl::StatusOr<GateCall> call =
      message.ok() ? ParseCall(message->bytes) : message.status();
  const absl::Status whole =
      call.ok() ? Attach(std::move(message->descriptors), *call)
                : call.status();
  if (!whole.ok()) {
    log::Warning("a call of the hook cannot be read",
                 {{"why", whole.ToString()}});
    return;
  }
  const GateReply reply =
      busy ? handlers_.busy(*call)
           : handlers_.decide(*call, now() + options_.deadline);
  const absl::Status sent =
      channel->Send({gate::Encode(reply), {}}, now() + options_.io);
  if (!sent.ok()) {
    log::Warning("a hook did not wait for its answer",
                 {{"domain", call->domain}, {"why", sent.ToString()}});
  }
}

}  // namespace vmattest::gate
