#ifndef VMATTEST_GATE_FILE_LEASES_H_
#define VMATTEST_GATE_FILE_LEASES_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/handles.h"
#include "base/mutex.h"
#include "gate/recording_digester.h"

namespace vmattest::gate {

// Keeps what VMs only read (kernels, initrds, loaders, read-only disks) open,
// each under a read lease (fcntl(2)): the kernel tells of whoever opens it for
// writing or truncates it, before he can (rule S13). Changes of owner, label
// and name break no lease, nor does reading. But libvirt, to lock a file whose
// owner it changes, opens it for writing too (remember_owner in qemu.conf): so
// a broken lease is a reason to look at the file, no proof.
//
// Nobody is held up: the thread `gate-lease` gives a lease up as soon as it is
// told. VMs with the same file share a lease. Callable from any thread; nothing
// blocks but for opening local files.
class FileLeases {
 public:
  static constexpr size_t kMostFiles = 16384;
  static constexpr size_t kMostOfVm = 256;

  // On `gate-lease`, once for each VM and break: hand over and return.
  using OnBroken = std::function<void(const std::string& vm_uuid)>;
  explicit FileLeases(OnBroken on_broken);
  FileLeases(const FileLeases&) = delete;
  FileLeases& operator=(const FileLeases&) = delete;
  ~FileLeases();

  // Holds these files for the VM, beside what it holds already. Those that
  // cannot be had under a lease (the file system knows none, no such file) are
  // in Unleased() afterwards; those that somebody has open for writing count as
  // broken, too.
  void Take(const std::string& vm_uuid, const std::vector<std::string>& paths)
      EXCLUDES_LOCK(mutex_);
  void Release(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);

  // Paths whose lease was broken and that were not renewed since.
  std::vector<std::string> Broken(const std::string& vm_uuid) const
      EXCLUDES_LOCK(mutex_);
  // "PATH (why)".
  std::vector<std::string> Unleased(const std::string& vm_uuid) const
      EXCLUDES_LOCK(mutex_);

  struct Seen {
    bool held = false;  // under a lease again: nobody has it open for writing
    FileIdentity now;   // after that; of the file, wherever its name leads
    friend bool operator==(const Seen&, const Seen&) = default;
  };
  // Tries to have a broken one again. None if the VM does not hold it.
  std::optional<Seen> Renew(const std::string& vm_uuid, const std::string& path)
      EXCLUDES_LOCK(mutex_);
  // Not this one any more.
  void Drop(const std::string& vm_uuid, const std::string& path)
      EXCLUDES_LOCK(mutex_);

 private:
  struct Lease {
    UniqueFd fd;
    uint64_t device = 0;
    uint64_t inode = 0;
    bool broken = false;
    std::set<std::pair<std::string, std::string>> users;  // VM, path
  };
  struct Vm {
    std::set<std::string> broken;
    std::map<std::string, std::string> unleased;  // why
  };

  void Run();
  int SetLease(int fd) const REQUIRES_LOCK(mutex_);
  // Empty, or why there is no lease.
  std::string TakeOne(const std::string& vm_uuid, const std::string& path)
      EXCLUDES_LOCK(mutex_);
  // Gives up what the kernel wants back; the VMs that it concerns. `fd` -1:
  // any.
  std::set<std::string> GiveUp(int fd) EXCLUDES_LOCK(mutex_);
  void Break(Lease& lease, std::set<std::string>& vms) REQUIRES_LOCK(mutex_);

  const OnBroken on_broken_;
  mutable Mutex mutex_;
  CondVar changed_;
  pid_t thread_id_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::map<int, Lease> leases_ GUARDED_BY(mutex_);  // by descriptor
  std::map<std::string, Vm> vms_ GUARDED_BY(mutex_);
  std::thread thread_;  // last
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_FILE_LEASES_H_
