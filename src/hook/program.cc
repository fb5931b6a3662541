#include "hook/program.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "gate/protocol/messages.h"
#include "hook/hook_config.h"
#include "hook/qemu_facts.h"
#include "hook/reply_check.h"
#include "hook/saved_memory.h"
#include "ipc/channel.h"

namespace vmattest::hook {
namespace {

constexpr std::chrono::milliseconds kConnectPause{5};
// For operations that cannot be refused nobody shall wait long.
constexpr std::chrono::milliseconds kTellDeadline{1000};
constexpr char kRunDir[] = "/run/libvirt/qemu";

absl::StatusOr<std::string> ReadXml() {
  std::string xml;
  char buffer[65536];
  while (true) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (got < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "standard input");
    }
    if (got == 0) {
      return xml;
    }
    xml.append(buffer, static_cast<size_t>(got < 0 ? 0 : got));
    if (xml.size() > gate::kMaxHookXml) {
      return absl::InvalidArgumentError("the domain's XML is too large");
    }
  }
}

// A daemon with many callers has a full backlog: that passes.
absl::StatusOr<UniqueFd> Connect(const std::filesystem::path& path,
                                 MonotonicTime deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("the socket's path is too long");
  }
  std::memcpy(address.sun_path, path.c_str(), path.string().size());
  UniqueFd socket(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) {
    return ErrnoStatus(errno, "socket");
  }
  while (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) != 0) {
    if (errno != EAGAIN && errno != EINTR) {
      return ErrnoStatus(errno, path.string());
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError("the daemon takes no more calls");
    }
    std::this_thread::sleep_for(kConnectPause);
  }
  return socket;
}

absl::StatusOr<gate::GateReply> Ask(const HookConfig& config,
                                    const gate::GateCall& call,
                                    MonotonicTime deadline) {
  ASSIGN_OR_RETURN(UniqueFd socket, Connect(config.socket, deadline));
  ipc::Channel channel(std::move(socket), gate::kMaxGateCall);
  ipc::Message message{gate::Encode(call), {}};
  for (const gate::HandedFile& handed : call.handed) {
    ASSIGN_OR_RETURN(UniqueFd file,
                     ipc::Duplicate(handed.file->get(), handed.path));
    message.descriptors.push_back(std::move(file));
  }
  RETURN_IF_ERROR(channel.Send(message, deadline));
  ASSIGN_OR_RETURN(const ipc::Message reply, channel.Receive(deadline));
  return gate::ParseReply(reply.bytes);
}

int Refuse(const gate::GateCall& call, std::string_view sentence) {
  const std::string line =
      fmt::format("vmattest: VM '{}' is refused at {}: {}\n", call.domain,
                  call.operation, sentence);
  // The exit code is what counts.
  (void)!write(STDERR_FILENO, line.data(), line.size());
  return 1;
}

std::string Explain(const absl::Status& failure) {
  if (absl::IsDeadlineExceeded(failure)) {
    return "vmattestd did not answer in time [gate-timeout]; see `vmattest "
           "status`, or raise gate.deadline_ms";
  }
  if (absl::IsInvalidArgument(failure)) {
    return fmt::format(
        "vmattestd's answer cannot be read ({}) [gate-reply]; hook and daemon "
        "are of different builds: run `vmattest hook install` again",
        std::string(failure.message()));
  }
  return fmt::format(
      "vmattestd cannot be reached ({}) [gate-daemon-down]; start it "
      "(systemctl start vmattestd) and try again",
      std::string(failure.message()));
}

// Nothing that the daemon says counts before this.
int HeedReply(const HookConfig& config, const gate::GateCall& call,
              const gate::GateReply& reply) {
  const Verdict genuine = CheckReply(call, reply, config, SystemClock().Now());
  if (!genuine.trusted()) {
    const Reason& reason = genuine.reasons.front();
    return Refuse(
        call, fmt::format("the answer is not to be believed: {}: expected "
                          "'{}', found '{}' [{}]; run `vmattest hook install` "
                          "if keys or policy changed",
                          reason.element, reason.expected, reason.found,
                          reason.code));
  }
  return reply.allowed
             ? 0
             : Refuse(call, fmt::format("{} [{}]", reply.sentence, reply.code));
}

// So that the daemon need not look for the process that has another pid there.
void HandProcess(int64_t pid, gate::GateCall& call) {
  UniqueFd process(
      static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
  if (process.valid() && call.handed.size() < gate::kMaxHanded) {
    call.handed.push_back(
        {std::string(gate::kQemuProcess), "",
         std::make_shared<const UniqueFd>(std::move(process))});
  }
}

// Gated operations: everything that goes wrong is a refusal.
int Gate(const absl::StatusOr<HookConfig>& config, gate::GateCall& call,
         const absl::Status& input) {
  if (!config.ok()) {
    return Refuse(call, fmt::format("the hook's configuration cannot be used "
                                    "({}) [gate-hook-config]; run `vmattest "
                                    "hook install` again",
                                    std::string(config.status().message())));
  }
  if (!input.ok()) {
    return Refuse(call,
                  fmt::format("{} [gate-input]", std::string(input.message())));
  }
  if (call.operation == "started") {
    absl::StatusOr<gate::QemuFacts> facts =
        GatherQemuFacts(kRunDir, call.domain);
    if (facts.ok()) {
      HandProcess(facts->pid, call);
      call.qemu = *std::move(facts);
    }
  }
  const auto deadline = std::chrono::steady_clock::now() + config->deadline;
  const absl::StatusOr<gate::GateReply> reply = Ask(*config, call, deadline);
  if (reply.ok()) {
    return HeedReply(*config, call, *reply);
  }
  const bool unreachable = absl::IsUnavailable(reply.status()) ||
                           absl::IsNotFound(reply.status()) ||
                           absl::IsDeadlineExceeded(reply.status()) ||
                           absl::IsInternal(reply.status());
  return unreachable && config->allow_when_unavailable
             ? 0
             : Refuse(call, Explain(reply.status()));
}

}  // namespace

int RunHook(int argc, char** argv) {
  (void)std::signal(SIGPIPE, SIG_IGN);
  if (argc < 3) {
    const std::string_view usage =
        "vmattest-hook: libvirt's hook for QEMU domains; it is libvirtd that "
        "calls it (vmattest hook install)\n";
    (void)!write(STDERR_FILENO, usage.data(), usage.size());
    return 2;
  }
  gate::GateCall call;
  call.nonce = RandomBytes(gate::kGateNonceSize);
  call.domain = argv[1];
  call.operation = argv[2];
  call.sub_operation = argc > 3 ? argv[3] : "";
  call.extra = argc > 4 ? argv[4] : "";
  absl::StatusOr<std::string> xml = ReadXml();
  if (xml.ok()) {
    call.xml = *std::move(xml);
  }
  call.handed =
      FindSavedMemory(call, {.libvirtd = fmt::format("/proc/{}", getppid())});
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", error);
  const absl::StatusOr<HookConfig> config =
      LoadHookConfig(ConfigPathFor(program), 0);
  if (gate::IsGated(call.operation)) {
    return Gate(config, call, xml.status());
  }
  if (config.ok() && xml.ok()) {
    Ask(*config, call,
        std::chrono::steady_clock::now() +
            std::min(config->deadline, kTellDeadline))
        .IgnoreError();
  }
  return 0;
}

}  // namespace vmattest::hook
