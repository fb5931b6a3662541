// What an exploited worker would try: the program of vmattest-header-worker
// with a handler that does what `format` says.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "worker/worker_program.h"

namespace vmattest::worker {
namespace {

internal::WorkerReply Header(const std::string& format) {
  internal::WorkerReply reply;
  reply.mutable_header()->set_format(format);
  return reply;
}

void Write(const std::string& bytes) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  (void)sendmsg(ipc::kChannelFd, &header, MSG_NOSIGNAL);
}

absl::StatusOr<internal::WorkerReply> Misbehave(const std::string& how,
                                                const UniqueFd& image) {
  if (how == "open-tpm") {
    (void)open("/dev/tpmrm0", O_RDWR);
  } else if (how == "open-state") {
    (void)open("/var/lib/vmattest/inventory.db", O_RDWR);
  } else if (how == "socket") {
    (void)socket(AF_UNIX, SOCK_STREAM, 0);
  } else if (how == "ptrace") {
    (void)ptrace(PTRACE_ATTACH, getppid(), 0, 0);
  } else if (how == "write-image") {
    (void)pwrite(image.get(), "x", 1, 0);
  } else if (how == "crash") {
    std::abort();
  } else if (how == "hang" || how == "spin") {
    while (how == "spin") {
      asm volatile("");
    }
    char byte = 0;
    (void)recv(ipc::kChannelFd, &byte, 1, 0);
  } else if (how == "garbage") {
    Write(std::string("\0\0\0\3\xff\xff\xff", 7));
  } else if (how == "huge") {
    Write("\xff\xff\xff\xff");
  } else if (how == "leave") {
    _exit(7);
  } else if (how == "memory") {
    std::string much(size_t{1} << 40, 'x');
    return Header(much);
  } else if (how == "memory-in-threads") {
    // Each gives back more than malloc keeps for the next.
    std::vector<std::thread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back(
          [] { std::vector<std::string> much(50'000, std::string(500, 'x')); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  } else if (how == "pid") {
    return Header(std::to_string(getpid()));
  } else if (how == "other-format") {
    return Header("vmdk");
  } else if (how == "progress") {
    for (int i = 0; i < 3; ++i) {
      internal::WorkerReply reply;
      reply.mutable_progress()->set_bytes(10);
      std::string text = reply.SerializeAsString();
      Write(std::string("\0\0\0", 3) + static_cast<char>(text.size()) + text);
    }
  } else if (how == "no-body") {
    return internal::WorkerReply();
  }
  return Header(how);
}

// As a vmattest-guestfs-worker: the first content's title says what to do,
// after "started " once the appliance runs.
absl::StatusOr<internal::WorkerReply> MisbehaveWithContents(
    const internal::WorkerRequest::InspectDisk& request, const UniqueFd& image,
    const WorkerProgram::SendProgress& progress) {
  constexpr std::string_view kStarted = "started ";
  std::string how = request.contents(0).title();
  if (how.rfind(kStarted, 0) == 0) {
    progress(0);
    how.erase(0, kStarted.size());
  }
  if (how == "refuse") {
    return absl::DataLossError("guestfs_launch failed.");
  }
  if (how == "refuse-kvm" && !request.force_tcg()) {
    return absl::DataLossError("KVM does not work");
  }
  if (how.rfind("refuse", 0) != 0 && how.rfind("leaf ", 0) != 0) {
    return Misbehave(how, image);
  }
  internal::WorkerReply reply;
  v1::ConfigLeaf& leaf = *reply.mutable_disk()->add_leaves();
  leaf.set_path(how == "refuse-kvm" ? "partition[1]/filesystem"
                                    : how.substr(std::string("leaf ").size()));
  leaf.set_type("text");
  leaf.set_value("xfs, as read");
  return reply;
}

}  // namespace
}  // namespace vmattest::worker

int main(int argc, char** argv) {
  vmattest::worker::WorkerProgram program;
  program.name = "hostile-worker";
  program.serves_many = true;
  program.handle = [](const auto& request, auto descriptors,
                      const auto& progress) {
    if (request.has_inspect_disk()) {
      return vmattest::worker::MisbehaveWithContents(
          request.inspect_disk(), descriptors.at(0), progress);
    }
    return vmattest::worker::Misbehave(request.parse_header().format(),
                                       descriptors.at(0));
  };
  return vmattest::worker::RunWorker(argc, argv, program);
}
