#include "gate/file_leases.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "fmt/format.h"

namespace vmattest::gate {
namespace {

// Sent to the one thread that waits for it, so nothing else of the process
// sees it; a real-time signal says which descriptor it is about.
int LeaseSignal() { return SIGRTMIN + 4; }

std::string Why(int error) {
  if (error == EAGAIN) {
    return "somebody has it open for writing";
  }
  return std::generic_category().message(error);
}

std::vector<std::string> ToVector(const std::set<std::string>& set) {
  return {set.begin(), set.end()};
}

}  // namespace

FileLeases::FileLeases(OnBroken on_broken) : on_broken_(std::move(on_broken)) {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "gate-lease");
  const MutexLock lock(mutex_);
  while (thread_id_ == 0) {
    changed_.Wait(mutex_);
  }
}

FileLeases::~FileLeases() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  pthread_kill(thread_.native_handle(), LeaseSignal());
  thread_.join();
}

void FileLeases::Run() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, LeaseSignal());
  sigaddset(&signals, SIGIO);  // where the queue of the other is full
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  {
    const MutexLock lock(mutex_);
    thread_id_ = gettid();
  }
  changed_.NotifyAll();
  while (true) {
    siginfo_t info{};
    const int signal = sigwaitinfo(&signals, &info);
    {
      const MutexLock lock(mutex_);
      if (stopping_) {
        return;
      }
    }
    if (signal < 0) {
      continue;
    }
    const bool named = signal == LeaseSignal() && info.si_code != SI_TKILL;
    for (const std::string& vm : GiveUp(named ? info.si_fd : -1)) {
      on_broken_(vm);
    }
  }
}

std::set<std::string> FileLeases::GiveUp(int fd) {
  std::set<std::string> vms;
  const MutexLock lock(mutex_);
  if (fd < 0) {
    for (auto& [descriptor, lease] : leases_) {
      Break(lease, vms);
    }
  } else if (const auto it = leases_.find(fd); it != leases_.end()) {
    Break(it->second, vms);
  }
  return vms;
}

void FileLeases::Break(Lease& lease, std::set<std::string>& vms) {
  // A late signal of a descriptor that is another file's by now says nothing.
  if (lease.broken || fcntl(lease.fd.get(), F_GETLEASE) == F_RDLCK) {
    return;
  }
  lease.broken = true;
  fcntl(lease.fd.get(), F_SETLEASE, F_UNLCK);
  for (const auto& [vm_uuid, path] : lease.users) {
    Vm& vm = vms_[vm_uuid];
    vm.broken.insert(path);
    vms.insert(vm_uuid);
  }
}

void FileLeases::Take(const std::string& vm_uuid,
                      const std::vector<std::string>& paths) {
  size_t taken = 0;
  for (const std::string& path : paths) {
    const std::string why =
        ++taken > kMostOfVm ? "too many files" : TakeOne(vm_uuid, path);
    const MutexLock lock(mutex_);
    Vm& vm = vms_[vm_uuid];
    if (!why.empty() && vm.unleased.size() <= kMostOfVm) {
      vm.unleased[path] = why;
    }
  }
}

std::string FileLeases::TakeOne(const std::string& vm_uuid,
                                const std::string& path) {
  struct stat status {};
  // Opening something else than a file may do something.
  if (stat(path.c_str(), &status) != 0) {
    return Why(errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return "no regular file";
  }
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid() || fstat(fd.get(), &status) != 0) {
    return Why(errno);
  }
  const MutexLock lock(mutex_);
  for (auto& [descriptor, lease] : leases_) {
    if (!lease.broken && lease.device == status.st_dev &&
        lease.inode == status.st_ino) {
      lease.users.emplace(vm_uuid, path);
      return "";
    }
  }
  if (leases_.size() >= kMostFiles) {
    return "too many files are held";
  }
  const int error = SetLease(fd.get());
  if (error != 0 && error != EAGAIN) {
    return Why(error);
  }
  Lease& lease = leases_[fd.get()];
  lease.device = status.st_dev;
  lease.inode = status.st_ino;
  lease.users.emplace(vm_uuid, path);
  lease.fd = std::move(fd);
  if (error == 0) {
    return "";
  }
  lease.broken = true;
  vms_[vm_uuid].broken.insert(path);
  return Why(error);
}

// Giving one up takes owner and signal with it.
int FileLeases::SetLease(int fd) const {
  const f_owner_ex owner{F_OWNER_TID, thread_id_};
  return fcntl(fd, F_SETOWN_EX, &owner) == 0 &&
                 fcntl(fd, F_SETSIG, LeaseSignal()) == 0 &&
                 fcntl(fd, F_SETLEASE, F_RDLCK) == 0
             ? 0
             : errno;
}

std::optional<FileLeases::Seen> FileLeases::Renew(const std::string& vm_uuid,
                                                  const std::string& path) {
  const MutexLock lock(mutex_);
  Vm& vm = vms_[vm_uuid];
  for (auto& [fd, lease] : leases_) {
    if (!lease.users.contains({vm_uuid, path})) {
      continue;
    }
    if (lease.broken && SetLease(fd) == 0) {
      lease.broken = false;
    }
    Seen seen;
    seen.held = !lease.broken && fcntl(fd, F_GETLEASE) == F_RDLCK;
    const absl::StatusOr<FileIdentity> now = IdentityOf(fd);
    if (!now.ok()) {
      return std::nullopt;
    }
    seen.now = *now;
    if (seen.held) {
      vm.broken.erase(path);
      vm.unleased.erase(path);
    }
    return seen;
  }
  vm.broken.erase(path);
  return std::nullopt;
}

void FileLeases::Drop(const std::string& vm_uuid, const std::string& path) {
  const MutexLock lock(mutex_);
  vms_[vm_uuid].broken.erase(path);
  for (auto it = leases_.begin(); it != leases_.end();) {
    it->second.users.erase({vm_uuid, path});
    it = it->second.users.empty() ? leases_.erase(it) : std::next(it);
  }
}

void FileLeases::Release(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  vms_.erase(vm_uuid);
  for (auto it = leases_.begin(); it != leases_.end();) {
    std::erase_if(it->second.users, [&vm_uuid](const auto& user) {
      return user.first == vm_uuid;
    });
    it = it->second.users.empty() ? leases_.erase(it) : std::next(it);
  }
}

std::vector<std::string> FileLeases::Broken(const std::string& vm_uuid) const {
  const MutexLock lock(mutex_);
  const auto it = vms_.find(vm_uuid);
  std::set<std::string> broken =
      it == vms_.end() ? std::set<std::string>() : it->second.broken;
  // Also what the thread was not told of yet.
  for (const auto& [descriptor, lease] : leases_) {
    const auto user = lease.users.lower_bound({vm_uuid, ""});
    if (user != lease.users.end() && user->first == vm_uuid && !lease.broken &&
        fcntl(descriptor, F_GETLEASE) != F_RDLCK) {
      broken.insert(user->second);
    }
  }
  return ToVector(broken);
}

std::vector<std::string> FileLeases::Unleased(
    const std::string& vm_uuid) const {
  const MutexLock lock(mutex_);
  std::vector<std::string> unleased;
  if (const auto it = vms_.find(vm_uuid); it != vms_.end()) {
    for (const auto& [path, why] : it->second.unleased) {
      unleased.push_back(fmt::format("{} ({})", path, why));
    }
  }
  return unleased;
}

}  // namespace vmattest::gate
