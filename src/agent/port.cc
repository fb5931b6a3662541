#include "agent/port.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <thread>

#include "fmt/format.h"

namespace vmattest::agent {
namespace {

using guestchannel::Answer;
using std::chrono::milliseconds;

// Between attempts where nobody is at the other end: that cannot be waited for.
constexpr milliseconds kPause{200};
// The host answers with few and short ones.
constexpr size_t kMaxAnswers = 1000;

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

bool Await(int fd, short events, MonotonicTime deadline) {
  const int64_t wait =
      std::chrono::ceil<milliseconds>(deadline - Now()).count();
  pollfd polled{fd, events, 0};
  return poll(&polled, 1,
              static_cast<int>(std::clamp<int64_t>(wait, 0, 60'000))) > 0 &&
         (polled.revents & events) != 0;
}

void Rest(MonotonicTime deadline) {
  std::this_thread::sleep_until(std::min(deadline, Now() + kPause));
}

}  // namespace

absl::StatusOr<std::string> FindPort(const std::filesystem::path& root,
                                     const std::string& name) {
  std::error_code error;
  const std::filesystem::path link = root / "dev/virtio-ports" / name;
  if (std::filesystem::exists(link, error)) {
    return link.string();
  }
  for (std::filesystem::directory_iterator
           entries(root / "sys/class/virtio-ports", error),
       end;
       !error && entries != end; entries.increment(error)) {
    std::ifstream file(entries->path() / "name");
    std::string said;
    if (std::getline(file, said) && said == name) {
      return (root / "dev" / entries->path().filename()).string();
    }
  }
  return absl::NotFoundError(
      fmt::format("this machine has no virtio-serial port {} (its driver is "
                  "virtio_console)",
                  name));
}

absl::StatusOr<Port> Port::Open(const std::string& path) {
  UniqueFd device(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!device.valid()) {
    return errno == EBUSY ? absl::ResourceExhaustedError(fmt::format(
                                "{}: another program has it open", path))
                          : ErrnoStatus(errno, path);
  }
  return Port(std::move(device));
}

absl::Status Port::Send(ByteView bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = write(device_.get(), bytes.data(), bytes.size());
    if (sent > 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR &&
               errno != EPIPE) {
      return ErrnoStatus(errno, "writing to the port");
    } else if (Now() >= deadline) {
      return absl::DeadlineExceededError("nobody reads at the host's end");
    } else if (!Await(device_.get(), POLLOUT,
                      std::min(deadline, Now() + kPause))) {
      Rest(deadline);
    }
  }
  return absl::OkStatus();
}

absl::Status Port::Receive(MonotonicTime deadline) {
  std::array<uint8_t, guestchannel::kMaxFrame> buffer{};
  while (Now() < deadline) {
    const ssize_t got = read(device_.get(), buffer.data(),
                             std::min(buffer.size(), reader_.room()));
    if (got > 0) {
      reader_.Feed({buffer.data(), static_cast<size_t>(got)});
      return absl::OkStatus();
    }
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
      return ErrnoStatus(errno, "reading from the port");
    }
    // The end of a file that goes on: the host's end is closed.
    if (got == 0 || !Await(device_.get(), POLLIN, deadline)) {
      Rest(deadline);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Answer> Port::Ask(const guestchannel::Request& request,
                                 MonotonicTime deadline, milliseconds again) {
  const Bytes frame = guestchannel::EncodeFrame(guestchannel::Encode(request));
  bool accepted = false;
  MonotonicTime next = Now();
  for (size_t answers = 0; answers < kMaxAnswers && Now() < deadline;) {
    if (Now() >= next) {
      RETURN_IF_ERROR(Send(frame, deadline));
      next = Now() + (accepted ? 4 * again : again);
    }
    RETURN_IF_ERROR(Receive(std::min(next, deadline)));
    bool heard = false;
    while (const std::optional<Bytes> payload = reader_.Next()) {
      ++answers;
      absl::StatusOr<Answer> answer = guestchannel::ParseAnswer(*payload);
      if (!answer.ok() || answer->id != request.id) {
        continue;  // to somebody who asked before
      }
      if (std::holds_alternative<guestchannel::Refusal>(answer->body) ||
          std::holds_alternative<guestchannel::SnapshotTaken>(answer->body)) {
        return answer;
      }
      accepted = heard = true;
    }
    if (heard) {
      next = Now() + 4 * again;
    } else if (reader_.waiting() && Now() >= next) {
      reader_.GiveUp();
    }
  }
  return absl::DeadlineExceededError(
      accepted ? "the host took the request, and has not answered yet"
               : "the host said nothing: its daemon is not there, or takes no "
                 "requests of guests (memory.guest_requests)");
}

}  // namespace vmattest::agent
