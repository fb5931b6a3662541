#include "kvm/linux/linux_process_watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fmt/format.h"
#include "kvm/linux/process_scan.h"

namespace vmattest::kvm {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

absl::StatusOr<UniqueFd> MakeStop() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) {
    return ErrnoStatus(errno, "eventfd");
  }
  return fd;
}

}  // namespace

LinuxProcessWatch::LinuxProcessWatch(Options options,
                                     ProcessWatchObserver observer)
    : options_(std::move(options)),
      observer_(std::move(observer)),
      stop_(MakeStop()) {
  absl::StatusOr<UeventSocket> events = UeventSocket::Open();
  if (events.ok()) {
    events_.emplace(*std::move(events));
  } else {
    events_health_ = events.status();
  }
  if (stop_.ok()) {
    thread_ = std::thread([this] { Run(); });
  } else {
    Publish(stop_.status());
  }
}

LinuxProcessWatch::~LinuxProcessWatch() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    // An eventfd of ours that is not full takes it.
    (void)!write(stop_->get(), &one, sizeof(one));
    thread_.join();
  }
}

std::vector<VmProcess> LinuxProcessWatch::Unmanaged() const {
  const MutexLock lock(mutex_);
  return unmanaged_;
}

absl::Status LinuxProcessWatch::Health() const {
  const MutexLock lock(mutex_);
  return health_;
}

void LinuxProcessWatch::Run() {
  pthread_setname_np(pthread_self(), "kvm-watch");
  do {
    Look();
  } while (Wait(NextLook(steady_clock::now())));
}

LinuxProcessWatch::TimePoint LinuxProcessWatch::NextLook(TimePoint now) const {
  TimePoint next = now + options_.interval;
  for (const auto& [id, seen] : seen_) {
    if (!seen.reported) {
      next = std::min(next, seen.since + options_.grace);
    }
  }
  return std::max(next, now + milliseconds(1));
}

bool LinuxProcessWatch::Wait(TimePoint until) {
  pollfd fds[2] = {{stop_->get(), POLLIN, 0},
                   {events_ ? events_->fd() : -1, POLLIN, 0}};
  while (true) {
    const auto left =
        std::chrono::ceil<milliseconds>(until - steady_clock::now());
    if (left.count() <= 0) {
      return true;
    }
    const int ready = poll(fds, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) {
      return true;
    }
    if (ready > 0 && (fds[0].revents & POLLIN) != 0) {
      return false;
    }
    if (ready > 0 && fds[1].revents != 0) {
      Drain();
      return true;
    }
  }
}

void LinuxProcessWatch::Drain() {
  for (bool more = true; more && events_;) {
    const absl::StatusOr<UeventSocket::Event> event = events_->Next(&more);
    if (!event.ok()) {
      events_health_ = event.status();
      events_.reset();
    }
  }
}

void LinuxProcessWatch::Look() {
  const absl::StatusOr<std::vector<PidFile>> pid_files =
      ReadPidFiles(options_.libvirt_run_dir);
  // After the pid files: a domain that starts in between has one already.
  const absl::StatusOr<std::vector<VmProcess>> running =
      ScanVmProcesses(options_.proc);
  if (!running.ok()) {
    Publish(running.status());
    return;
  }
  if (!pid_files.ok() && !absl::IsNotFound(pid_files.status())) {
    Publish(pid_files.status());
    return;
  }
  const std::set<ProcessId> managed =
      Managed(*running, pid_files.ok() ? *pid_files : std::vector<PidFile>());
  const std::map<ProcessId, Seen> before =
      std::exchange(seen_, WhatIsSeen(*running, managed, steady_clock::now()));
  // The list is right before anybody is told.
  Publish(events_health_);
  Tell(before);
}

std::map<ProcessId, LinuxProcessWatch::Seen> LinuxProcessWatch::WhatIsSeen(
    const std::vector<VmProcess>& running, const std::set<ProcessId>& managed,
    TimePoint now) const {
  std::map<ProcessId, Seen> seen;
  for (const VmProcess& process : running) {
    if (managed.contains(process.id)) {
      continue;
    }
    const auto before = seen_.find(process.id);
    Seen entry = before != seen_.end() ? before->second : Seen{process, now};
    if (!entry.reported) {
      // In the middle of execve a process has no command line yet.
      entry.process = process;
      entry.reported = now - entry.since >= options_.grace;
    }
    seen.emplace(process.id, std::move(entry));
  }
  return seen;
}

void LinuxProcessWatch::Tell(const std::map<ProcessId, Seen>& before) const {
  for (const auto& [id, entry] : seen_) {
    const auto was = before.find(id);
    const bool told = was != before.end() && was->second.reported;
    if (entry.reported && !told && observer_.appeared) {
      observer_.appeared(entry.process);
    }
  }
  for (const auto& [id, entry] : before) {
    if (entry.reported && !seen_.contains(id) && observer_.gone) {
      observer_.gone(entry.process);
    }
  }
}

std::set<ProcessId> LinuxProcessWatch::Managed(
    const std::vector<VmProcess>& running,
    const std::vector<PidFile>& pid_files) {
  // Judged once while the pid files stay the same: whoever asks about
  // namespaces again and again would fill libvirt's log.
  if (pid_files != pid_files_) {
    pid_files_ = pid_files;
    managed_.clear();
  }
  std::vector<VmProcess> unknown;
  std::set<ProcessId> managed;
  for (const VmProcess& process : running) {
    if (managed_.contains(process.id)) {
      managed.insert(process.id);
    } else if (const auto seen = seen_.find(process.id);
               seen == seen_.end() || !seen->second.reported) {
      unknown.push_back(process);
    }
  }
  managed.merge(ManagedAmong(unknown, pid_files, options_.libvirt_run_dir,
                             options_.proc));
  managed_ = managed;
  return managed;
}

void LinuxProcessWatch::Publish(const absl::Status& health) {
  const MutexLock lock(mutex_);
  health_ = health;
  unmanaged_.clear();
  for (const auto& [id, entry] : seen_) {
    if (entry.reported) {
      unmanaged_.push_back(entry.process);
    }
  }
}

}  // namespace vmattest::kvm
