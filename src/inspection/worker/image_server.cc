#include "inspection/worker/image_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fmt/format.h"
#include "inspection/worker/file_confinement.h"
#include "inspection/worker/private_folder.h"

namespace vmattest::inspection {
namespace {

// It has parsed hostile images: what it says is bounded, too.
constexpr size_t kMaxLine = 64U << 10;
constexpr std::chrono::milliseconds kAskCancelled{50};
constexpr uint64_t kOpenFiles = 256;

// RFC 8259, section 7; bytes that are no UTF-8 are QEMU's to refuse.
std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += c;
    }
  }
  return out + '"';
}

// The sentence in {"error": {..., "desc": "..."}}, made harmless.
std::string Sentence(std::string_view reply) {
  static constexpr std::string_view kKey = "\"desc\": \"";
  const size_t at = reply.find(kKey);
  std::string out;
  if (at == std::string_view::npos) {
    return "refused without a reason";
  }
  for (size_t i = at + kKey.size(); i < reply.size() && reply[i] != '"'; ++i) {
    if (reply[i] == '\\' && i + 1 < reply.size()) {
      ++i;
    }
    out += reply[i] >= ' ' && reply[i] <= '~' ? reply[i] : '?';
  }
  return out;
}

bool IsDevice(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
}

std::string FileNode(const std::string& path) {
  return fmt::format(
      R"({{"driver":"{}","filename":{},"locking":"off","read-only":true}})",
      IsDevice(path) ? "host_device" : "file", Quote(path));
}

std::string LayerNode(const std::vector<image::ImageLayer>& layers, size_t i) {
  const image::ImageLayer& layer = layers[i];
  std::string node = fmt::format(
      R"({{"driver":{},"node-name":"layer{}","read-only":true,"file":{})",
      Quote(layer.format), i, FileNode(layer.path));
  if (layer.data_file) {
    node += fmt::format(R"(,"data-file":{})", FileNode(*layer.data_file));
  }
  if (layer.format == "qcow2") {
    node += i + 1 < layers.size()
                ? fmt::format(R"(,"backing":"layer{}")", i + 1)
                : R"(,"backing":null)";
  }
  return node + '}';
}

absl::StatusOr<UniqueFd> ConnectTo(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        fmt::format("{}: too long for a socket's path", path));
  }
  path.copy(address.sun_path, path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof address) != 0) {
    return ErrnoStatus(errno, path);
  }
  return fd;
}

absl::StatusOr<ipc::ChildOptions> ChildFor(const ImageServerOptions& options) {
  ipc::ChildOptions child;
  child.program = options.program;
  child.arguments = {"qemu-storage-daemon", "--chardev",
                     fmt::format("socket,id=monitor,fd={}", ipc::kChannelFd),
                     "--monitor", "chardev=monitor"};
  child.environment = {"LC_ALL=C"};
  if (!options.user.empty()) {
    ASSIGN_OR_RETURN(child.run_as, ipc::FindUser(options.user));
  }
  child.address_space = options.memory_bytes;
  child.cpu_time = options.cpu_time;
  child.open_files = kOpenFiles;
  child.no_files = true;
  child.own_namespaces = options.own_namespaces;
  child.read_all_files = true;
  return child;
}

std::vector<std::string> FilesOf(const std::vector<image::ImageLayer>& layers) {
  std::vector<std::string> files;
  for (const image::ImageLayer& layer : layers) {
    files.push_back(layer.path);
    if (layer.data_file) {
      files.push_back(*layer.data_file);
    }
  }
  return files;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageServer>> ImageServer::Start(
    const std::vector<image::ImageLayer>& layers,
    const ImageServerOptions& options, const ImageServerCall& call) {
  ASSIGN_OR_RETURN(ipc::ChildOptions child, ChildFor(options));
  ASSIGN_OR_RETURN(
      const auto folder,
      PrivateFolder::Make(options.socket_dir,
                          child.run_as ? child.run_as->uid : geteuid()));
  ASSIGN_OR_RETURN(const UniqueFd landlock,
                   ConfineTo(FilesOf(layers), folder->path()));
  child.landlock = landlock.get();
  ASSIGN_OR_RETURN(ipc::ChildProcess::Spawned spawned,
                   ipc::ChildProcess::Spawn(child));
  std::unique_ptr<ImageServer> server(
      new ImageServer(std::move(spawned.process), std::move(spawned.channel)));
  RETURN_IF_ERROR(server->Serve(layers, folder->path() + "/nbd", call));
  return server;
}

absl::Status ImageServer::Serve(const std::vector<image::ImageLayer>& layers,
                                const std::string& socket,
                                const ImageServerCall& call) {
  RETURN_IF_ERROR(ReadLine(call).status());  // its greeting
  RETURN_IF_ERROR(Command("qmp_capabilities", "{}", call));
  for (size_t i = layers.size(); i-- > 0;) {
    RETURN_IF_ERROR_WITH(Command("blockdev-add", LayerNode(layers, i), call),
                         layers[i].path);
  }
  RETURN_IF_ERROR(Command(
      "nbd-server-start",
      fmt::format(
          R"({{"addr":{{"type":"unix","data":{{"path":{}}}}},"max-connections":1}})",
          Quote(socket)),
      call));
  RETURN_IF_ERROR(Command(
      "block-export-add",
      fmt::format(R"({{"type":"nbd","id":"e","node-name":"layer0","name":{}}})",
                  Quote(kExport)),
      call));
  ASSIGN_OR_RETURN(connection_, ConnectTo(socket));
  return absl::OkStatus();
}

absl::Status ImageServer::Command(const std::string& name,
                                  const std::string& arguments,
                                  const ImageServerCall& call) {
  const std::string line =
      fmt::format("{{\"execute\":\"{}\",\"arguments\":{}}}\n", name, arguments);
  // Shorter than a socket's buffer: it does not wait.
  if (send(monitor_.get(), line.data(), line.size(),
           MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(line.size())) {
    return absl::UnavailableError("qemu-storage-daemon does not listen");
  }
  while (true) {
    ASSIGN_OR_RETURN(const std::string reply, ReadLine(call));
    if (reply.rfind("{\"return\"", 0) == 0) {
      return absl::OkStatus();
    }
    if (reply.rfind("{\"error\"", 0) == 0) {
      return absl::InvalidArgumentError(
          fmt::format("QEMU refuses it: {}", Sentence(reply)));
    }
  }
}

absl::StatusOr<std::string> ImageServer::ReadLine(const ImageServerCall& call) {
  while (true) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    const MonotonicTime now = std::chrono::steady_clock::now();
    if (now >= call.deadline) {
      return absl::DeadlineExceededError("qemu-storage-daemon took too long");
    }
    if (call.cancelled && call.cancelled()) {
      return absl::CancelledError("cancelled");
    }
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(
        std::min<MonotonicTime::duration>(call.deadline - now, kAskCancelled));
    pollfd waiting{monitor_.get(), POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(wait.count())) <= 0) {
      continue;
    }
    char piece[4096];
    const ssize_t got = recv(monitor_.get(), piece, sizeof piece, MSG_DONTWAIT);
    if (got <= 0 || unread_.size() > kMaxLine) {
      return absl::UnavailableError(got == 0 ? "qemu-storage-daemon ended"
                                             : "qemu-storage-daemon babbles");
    }
    unread_.append(piece, static_cast<size_t>(got));
  }
}

}  // namespace vmattest::inspection
