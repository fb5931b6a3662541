#include "ipc/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>

#include "fmt/format.h"

namespace vmattest::ipc {
namespace {

constexpr size_t kLengthSize = 4;
constexpr size_t kGrowth = 256U << 10;

// Room for one descriptor too many, so that a surplus is seen as such.
using Control =
    std::array<char, CMSG_SPACE((kMaxDescriptors + 1) * sizeof(int))>;
using Parts = std::array<iovec, 2>;

absl::Status Gone() {
  return absl::UnavailableError("the other process closed the channel");
}

// Milliseconds for poll(2), rounded up; -1 for ever.
int PollTimeout(MonotonicTime deadline) {
  if (deadline == kNoDeadline) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
}

iovec View(const Bytes& bytes) {
  return {const_cast<uint8_t*>(bytes.data()), bytes.size()};
}

void Attach(const std::vector<UniqueFd>& descriptors, Control& control,
            msghdr& header) {
  const size_t size = descriptors.size() * sizeof(int);
  header.msg_control = control.data();
  header.msg_controllen = CMSG_SPACE(size);
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(size);
  for (size_t i = 0; i < descriptors.size(); ++i) {
    const int fd = descriptors[i].get();
    std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof(fd));
  }
}

void Advance(Parts& parts, size_t sent) {
  for (iovec& part : parts) {
    const size_t done = std::min(part.iov_len, sent);
    part.iov_base = static_cast<uint8_t*>(part.iov_base) + done;
    part.iov_len -= done;
    sent -= done;
  }
}

void TakeDescriptors(msghdr& header, std::vector<UniqueFd>& taken) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(fd));
      taken.emplace_back(fd);
    }
  }
}

}  // namespace

Channel::Channel(UniqueFd socket, size_t max_size)
    : socket_(std::move(socket)), max_size_(max_size) {}

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> Channel::MakePair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

absl::Status Channel::Await(short events, MonotonicTime deadline) {
  while (true) {
    pollfd waiting{socket_.get(), events, 0};
    const int ready = poll(&waiting, 1, PollTimeout(deadline));
    if (ready > 0) {
      return absl::OkStatus();
    }
    if (ready < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "waiting at a channel");
    }
    if (deadline != kNoDeadline &&
        std::chrono::steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError(
          "the other process did not answer in time");
    }
  }
}

absl::Status Channel::AwaitMessage(MonotonicTime deadline) {
  return Await(POLLIN, deadline);
}

absl::Status Channel::Send(const Message& message, MonotonicTime deadline) {
  if (message.bytes.size() > max_size_ ||
      message.descriptors.size() > kMaxDescriptors) {
    return absl::InvalidArgumentError(fmt::format(
        "a message of {} bytes and {} descriptors: at most {} and {}",
        message.bytes.size(), message.descriptors.size(), max_size_,
        kMaxDescriptors));
  }
  ByteWriter length;
  length.U32(static_cast<uint32_t>(message.bytes.size()));
  Parts parts = {View(length.bytes()), View(message.bytes)};
  alignas(cmsghdr) Control control{};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  if (!message.descriptors.empty()) {
    Attach(message.descriptors, control, header);
  }
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    const ssize_t sent =
        sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EAGAIN) {
        RETURN_IF_ERROR(Await(POLLOUT, deadline));
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return Gone();
      } else if (errno != EINTR) {
        return ErrnoStatus(errno, "sending to another process");
      }
      continue;
    }
    header.msg_control = nullptr;
    header.msg_controllen = 0;
    Advance(parts, static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

// UNAVAILABLE only at the end of the stream. Descriptors may come with the
// first byte, and only where they are asked for.
absl::Status Channel::Fill(std::span<uint8_t> buffer, MonotonicTime deadline,
                           std::vector<UniqueFd>* descriptors) {
  while (!buffer.empty()) {
    iovec part{buffer.data(), buffer.size()};
    alignas(cmsghdr) Control control{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got =
        recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EAGAIN) {
        RETURN_IF_ERROR(Await(POLLIN, deadline));
      } else if (errno == ECONNRESET) {
        return Gone();
      } else if (errno != EINTR) {
        return ErrnoStatus(errno, "receiving from another process");
      }
      continue;
    }
    std::vector<UniqueFd> taken;
    TakeDescriptors(header, taken);
    if (got == 0) {
      return Gone();
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0 ||
        taken.size() > kMaxDescriptors ||
        (!taken.empty() && descriptors == nullptr)) {
      return absl::DataLossError("a message has descriptors that it must not");
    }
    if (descriptors != nullptr) {
      *descriptors = std::move(taken);
      descriptors = nullptr;
    }
    buffer = buffer.subspan(static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> Channel::Receive(MonotonicTime deadline) {
  Message message;
  std::array<uint8_t, kLengthSize> length{};
  // The first byte by itself: the end of the stream is an end only here.
  RETURN_IF_ERROR(
      Fill(std::span(length).first(1), deadline, &message.descriptors));
  absl::Status status = Fill(std::span(length).subspan(1), deadline, nullptr);
  const size_t size = ByteReader(length).U32();
  if (status.ok() && size > max_size_) {
    return absl::DataLossError(
        fmt::format("a message of {} bytes: at most {}", size, max_size_));
  }
  while (status.ok() && message.bytes.size() < size) {
    const size_t begin = message.bytes.size();
    message.bytes.resize(std::min(size, begin + std::max(begin, kGrowth)));
    status = Fill(std::span(message.bytes).subspan(begin), deadline, nullptr);
  }
  if (absl::IsUnavailable(status)) {
    return absl::DataLossError("the channel ends inside a message");
  }
  RETURN_IF_ERROR(status);
  return message;
}

void Channel::Close() { (void)shutdown(socket_.get(), SHUT_RDWR); }

absl::StatusOr<UniqueFd> Duplicate(int fd, std::string_view name) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) {
    return ErrnoStatus(errno, name);
  }
  return copy;
}

}  // namespace vmattest::ipc
