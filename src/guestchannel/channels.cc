#include "guestchannel/channels.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "guestchannel/channel_path.h"

namespace vmattest::guestchannel {
namespace {

using std::chrono::milliseconds;

constexpr size_t kKib = 1024;
// A VM without the port may get one while it runs.
constexpr milliseconds kNoPortPause{30'000};

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

absl::StatusOr<UniqueFd> ConnectTo(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd socket(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return ErrnoStatus(errno, path);
  }
  return socket;
}

}  // namespace

Channels::Channels(Parts parts) : Channels(std::move(parts), Limits()) {}

Channels::Channels(Parts parts, Limits limits)
    : parts_(std::move(parts)),
      limits_(limits),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "guest-channel");
}

Channels::~Channels() { Stop(); }

void Channels::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) {
    thread_.join();
  }
}

size_t Channels::connected() const {
  const MutexLock lock(mutex_);
  return static_cast<size_t>(
      std::count_if(known_.begin(), known_.end(),
                    [](const auto& one) { return !one.second.path.empty(); }));
}

void Channels::Post(Event event) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return;
    }
    events_.push_back(std::move(event));
  }
  eventfd_write(wake_.get(), 1);
}

void Channels::Run() {
  while (true) {
    std::vector<Event> events;
    {
      const MutexLock lock(mutex_);
      if (stopping_) {
        break;
      }
      events.swap(events_);
    }
    const MonotonicTime now = Now();
    for (Event& event : events) {
      Handle(std::move(event), now);
    }
    if (now >= next_look_) {
      next_look_ = now + limits_.look;
      StartLook();
    }
    Wait(now);
  }
  connections_.clear();
}

bool Channels::MayRead(const Connection& connection, MonotonicTime now) const {
  return !connection.in_hand && connection.out.empty() &&
         connection.spent <= now + limits_.burst;
}

void Channels::Wait(MonotonicTime now) {
  MonotonicTime until = next_look_;
  std::vector<pollfd> polled = {{wake_.get(), POLLIN, 0}};
  std::vector<Uuid> vms;
  for (auto& [vm, connection] : connections_) {
    // What came with the frame before it.
    if (connection.reader.waiting() && MayRead(connection, now)) {
      HandOver(connection, now);
    }
    const bool reads = MayRead(connection, now);
    const bool writes = !connection.out.empty();
    polled.push_back(
        {connection.socket.get(),
         static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0});
    vms.push_back(vm);
    if (writes) {
      until = std::min(until, connection.since + limits_.unread);
    } else if (reads && connection.reader.waiting()) {
      until = std::min(until, connection.since + limits_.frame);
    } else if (!reads && !connection.in_hand) {
      until = std::min(until, connection.spent - limits_.burst);
    }
  }
  const int64_t wait = std::chrono::ceil<milliseconds>(until - now).count();
  if (poll(polled.data(), polled.size(),
           static_cast<int>(std::clamp<int64_t>(wait, 0, 60'000))) < 0) {
    return;
  }
  eventfd_t woken = 0;
  eventfd_read(wake_.get(), &woken);
  for (size_t i = 0; i < vms.size(); ++i) {
    Serve(connections_.at(vms[i]), polled[i + 1].revents, Now());
  }
  std::vector<Uuid> closed;
  for (const auto& [vm, connection] : connections_) {
    if (!connection.socket.valid()) {
      closed.push_back(vm);
    }
  }
  for (const Uuid& vm : closed) {
    Close(vm, Now());
  }
}

void Channels::Serve(Connection& connection, short events, MonotonicTime now) {
  if (!connection.out.empty()) {
    if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0 ||
        now >= connection.since + limits_.unread) {
      connection.socket.Reset();
    } else if ((events & POLLOUT) != 0) {
      Write(connection, now);
    }
    return;
  }
  if (!MayRead(connection, now)) {
    if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
      connection.socket.Reset();
    }
    return;
  }
  if (events != 0) {
    Read(connection, now);
  }
  if (connection.socket.valid()) {
    HandOver(connection, now);
  }
  if (connection.reader.waiting() && !connection.in_hand &&
      now >= connection.since + limits_.frame) {
    connection.reader.GiveUp();
    connection.since = now;
    HandOver(connection, now);
  }
}

void Channels::Read(Connection& connection, MonotonicTime now) {
  std::array<uint8_t, kFrameHeader + kMaxFrame> buffer{};
  const ssize_t got =
      recv(connection.socket.get(), buffer.data(),
           std::min(buffer.size(), connection.reader.room()), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (got <= 0) {
    connection.socket.Reset();
    return;
  }
  if (!connection.reader.waiting()) {
    connection.since = now;
  }
  connection.reader.Feed({buffer.data(), static_cast<size_t>(got)});
  connection.spent =
      std::max(connection.spent, now) +
      limits_.per_kib *
          static_cast<int64_t>((static_cast<size_t>(got) + kKib) / kKib);
}

void Channels::HandOver(Connection& connection, MonotonicTime now) {
  std::optional<Bytes> payload = connection.reader.Next();
  if (!payload) {
    // A guest that is made to wait has that much more time.
    connection.since = std::max(
        connection.since, std::min(now, connection.spent - limits_.burst));
    return;
  }
  connection.since = now;
  connection.in_hand = true;
  connection.spent = std::max(connection.spent, now) + limits_.per_frame;
  parts_.take(connection.guest, *std::move(payload),
              [this, guest = connection.guest, number = connection.number](
                  Bytes answer, bool last) {
                Event event;
                event.guest = guest;
                event.number = number;
                event.answer = std::move(answer);
                event.last = last;
                Post(std::move(event));
              });
}

void Channels::Write(Connection& connection, MonotonicTime now) {
  const ssize_t sent = send(connection.socket.get(), connection.out.data(),
                            connection.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      connection.socket.Reset();
    }
    return;
  }
  connection.out.erase(connection.out.begin(), connection.out.begin() + sent);
  connection.since = now;
}

void Channels::Handle(Event event, MonotonicTime now) {
  if (event.gone) {
    connections_.erase(event.guest.uuid);
    return;
  }
  if (event.socket.valid()) {
    connections_[event.guest.uuid] = {.guest = event.guest,
                                      .number = ++numbers_,
                                      .socket = std::move(event.socket),
                                      .reader = {},
                                      .out = {},
                                      .in_hand = false,
                                      .spent = now,
                                      .since = now};
    return;
  }
  const auto found = connections_.find(event.guest.uuid);
  if (found == connections_.end() || found->second.number != event.number) {
    return;
  }
  Connection& connection = found->second;
  if (!event.answer.empty()) {
    if (connection.out.empty()) {
      connection.since = now;
    }
    const Bytes frame = EncodeFrame(event.answer);
    connection.out.insert(connection.out.end(), frame.begin(), frame.end());
  } else {
    connection.spent =
        std::max(connection.spent, now + limits_.burst + limits_.penalty);
  }
  if (event.last) {
    connection.in_hand = false;
  }
}

void Channels::Close(const Uuid& vm, MonotonicTime now) {
  connections_.erase(vm);
  const MutexLock lock(mutex_);
  Known& known = known_[vm];
  known.path.clear();
  known.pause = std::clamp(2 * known.pause, limits_.retry, limits_.max_retry);
  known.again = now + known.pause;
}

void Channels::StartLook() {
  {
    const MutexLock lock(mutex_);
    if (looking_ || stopping_) {
      return;
    }
    looking_ = true;
  }
  if (!parts_.work.Submit([this] { Look(); }).ok()) {
    const MutexLock lock(mutex_);
    looking_ = false;
  }
}

void Channels::Look() {
  const auto domains = parts_.hypervisor.ListDomains();
  if (domains.ok()) {
    std::set<Uuid> running;
    for (const hypervisor::Domain& domain : *domains) {
      if (hypervisor::IsActive(domain.state)) {
        running.insert(domain.uuid);
        Connect(domain);
      }
    }
    std::vector<Uuid> gone;
    {
      const MutexLock lock(mutex_);
      for (const auto& [vm, known] : known_) {
        if (!running.contains(vm)) {
          gone.push_back(vm);
        }
      }
      for (const Uuid& vm : gone) {
        known_.erase(vm);
      }
    }
    for (const Uuid& vm : gone) {
      Event event;
      event.guest.uuid = vm;
      event.gone = true;
      Post(std::move(event));
    }
  }
  if (parts_.looked) {
    parts_.looked();
  }
  const MutexLock lock(mutex_);
  looking_ = false;
}

void Channels::Connect(const hypervisor::Domain& domain) {
  {
    const MutexLock lock(mutex_);
    const Known& known = known_[domain.uuid];
    if (!known.path.empty() || Now() < known.again) {
      return;
    }
  }
  absl::StatusOr<UniqueFd> socket = Open(domain);
  if (socket.ok()) {
    Event event;
    event.guest = {domain.uuid, domain.name};
    event.socket = *std::move(socket);
    Post(std::move(event));
    return;
  }
  const absl::Status status = socket.status();
  std::string told;
  {
    const MutexLock lock(mutex_);
    Known& known = known_[domain.uuid];
    known.pause =
        absl::IsNotFound(status)
            ? kNoPortPause
            : std::clamp(2 * known.pause, limits_.retry, limits_.max_retry);
    known.again = Now() + known.pause;
    if (!absl::IsNotFound(status) && !absl::IsUnavailable(status) &&
        std::exchange(known.problem, std::string(status.message())) !=
            status.message()) {
      told = known.problem;
    }
  }
  if (!told.empty()) {
    log::Warning("a guest's agent cannot be listened to",
                 {{"vm", domain.name}, {"why", told}});
  }
}

absl::StatusOr<UniqueFd> Channels::Open(const hypervisor::Domain& domain) {
  ASSIGN_OR_RETURN(const hypervisor::DomainXml xml,
                   parts_.hypervisor.GetXml(domain.uuid));
  ASSIGN_OR_RETURN(const std::string path, FindChannelPath(xml.xml));
  {
    const MutexLock lock(mutex_);
    for (const auto& [vm, known] : known_) {
      if (known.path == path && vm != domain.uuid) {
        return absl::FailedPreconditionError(
            fmt::format("{} is the socket of VM {}, too", path, ToString(vm)));
      }
    }
  }
  ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(path));
  const MutexLock lock(mutex_);
  Known& known = known_[domain.uuid];
  known.path = path;
  known.pause = milliseconds(0);
  known.problem.clear();
  return socket;
}

}  // namespace vmattest::guestchannel
