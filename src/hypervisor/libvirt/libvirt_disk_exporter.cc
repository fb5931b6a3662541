#include "hypervisor/libvirt/libvirt_disk_exporter.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "base/shared_folder.h"
#include "fmt/format.h"
#include "hypervisor/libvirt/backup_job.h"
#include "hypervisor/libvirt/libvirt_errors.h"

namespace vmattest::hypervisor {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kEndLimit{10};
constexpr std::chrono::milliseconds kLookAtSpace{50};
constexpr char kSocketName[] = "/nbd.sock";

absl::StatusOr<uint64_t> FreeBytes(const fs::path& folder) {
  struct statvfs info = {};
  if (statvfs(folder.c_str(), &info) != 0) {
    return ErrnoStatus(errno, folder.native());
  }
  return uint64_t{info.f_bavail} * info.f_frsize;
}

absl::Status MakeFolder(const fs::path& folder) {
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    // QEMU's user passes through; what is inside has rights of its own.
    fs::permissions(folder, fs::perms(0711), error);
  }
  return error ? ErrnoStatus(error.value(), folder.native()) : absl::OkStatus();
}

void Remove(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

}  // namespace

// Whose turn it is: one view of each VM at a time.
class LibvirtDiskExporter::Turns {
 public:
  void Take(const Uuid& uuid) {
    const MutexLock lock(mutex_);
    while (!busy_.insert(uuid).second) {
      changed_.Wait(mutex_);
    }
  }
  bool TryTake(const Uuid& uuid) {
    const MutexLock lock(mutex_);
    return busy_.insert(uuid).second;
  }
  bool Idle() {
    const MutexLock lock(mutex_);
    return busy_.empty();
  }
  void Return(const Uuid& uuid) {
    {
      const MutexLock lock(mutex_);
      busy_.erase(uuid);
    }
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::set<Uuid> busy_ GUARDED_BY(mutex_);
};

class LibvirtDiskExporter::Turn {
 public:
  // The caller has taken it.
  Turn(std::shared_ptr<Turns> turns, const Uuid& uuid)
      : turns_(std::move(turns)), uuid_(uuid) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { turns_->Return(uuid_); }

 private:
  const std::shared_ptr<Turns> turns_;
  const Uuid uuid_;
};

// Its parts are taken down in the order of its destructor, the turn last.
class LibvirtDiskExporter::View final : public DiskExport {
 public:
  View(Options options, const Uuid& uuid, std::unique_ptr<Turn> turn)
      : options_(std::move(options)), uuid_(uuid), turn_(std::move(turn)) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() override {
    {
      const MutexLock lock(mutex_);
      ended_ = true;
    }
    changed_.NotifyAll();
    if (watch_.joinable()) {
      watch_.join();
    }
    if (begun_) {
      End();
    }
    if (!folder_.empty()) {
      Remove(folder_);
      Remove(scratch_);
    }
  }

  absl::Status Begin(const std::string& target) {
    target_ = target;
    ASSIGN_OR_RETURN(connection_, Connect());
    ASSIGN_OR_RETURN(const DomainHandle domain,
                     FindRunning(connection_.connect, uuid_));
    // One that nobody holds any more: it is our turn.
    RETURN_IF_ERROR(
        EndBackupBelow(domain.get(), options_.socket_dir, kEndLimit));
    RETURN_IF_ERROR(MakeFolder(options_.socket_dir));
    RETURN_IF_ERROR(MakeFolder(options_.scratch_dir));
    RETURN_IF_ERROR(CheckSpace());
    const Owner owner = OwnerOf(domain.get());
    ASSIGN_OR_RETURN(
        folder_,
        MakeSharedFolder(
            options_.socket_dir,
            owner.user == static_cast<uid_t>(-1) ? geteuid() : owner.user));
    socket_ = folder_.native() + kSocketName;
    scratch_ = options_.scratch_dir / (folder_.filename().native() + ".qcow2");
    if (socket_.size() >= sizeof(sockaddr_un::sun_path)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: too long for a socket's path", socket_));
    }
    RETURN_IF_ERROR(BeginBackup(domain.get(), target, socket_, scratch_));
    begun_ = true;
    watch_ = std::thread([this] { Watch(); });
    pthread_setname_np(watch_.native_handle(), "export-watch");
    return absl::OkStatus();
  }

  [[nodiscard]] const std::string& socket() const override { return socket_; }
  [[nodiscard]] const std::string& export_name() const override {
    return target_;
  }

 private:
  absl::StatusOr<JobConnection> Connect() const {
    return OpenJobConnection(options_.uri, options_.keepalive_seconds,
                             options_.keepalive_count);
  }

  absl::Status CheckSpace() const {
    ASSIGN_OR_RETURN(const uint64_t free, FreeBytes(options_.scratch_dir));
    if (free < options_.keep_free_bytes) {
      return absl::ResourceExhaustedError(fmt::format(
          "{}: {} bytes are free, {} must be before a running disk is read",
          options_.scratch_dir.native(), free, options_.keep_free_bytes));
    }
    return absl::OkStatus();
  }

  void Watch() {
    const MutexLock lock(mutex_);
    while (!ended_) {
      if (!CheckSpace().ok()) {
        End();
        return;
      }
      changed_.WaitUntil(mutex_,
                         std::chrono::steady_clock::now() + kLookAtSpace);
    }
  }

  // What cannot be ended now is by the next view or AbortLeftOvers().
  void End() {
    const auto end = [this](const ConnectHandle& connect) {
      const absl::StatusOr<DomainHandle> domain = FindRunning(connect, uuid_);
      return domain.ok() ? EndBackupBelow(domain->get(), folder_, kEndLimit)
                         : domain.status();
    };
    if (absl::IsUnavailable(end(connection_.connect))) {
      if (const auto again = Connect(); again.ok()) {
        end(again->connect).IgnoreError();
      }
    }
  }

  const Options options_;
  const Uuid uuid_;
  const std::unique_ptr<Turn> turn_;
  std::string target_;
  JobConnection connection_;
  fs::path folder_;
  fs::path scratch_;
  std::string socket_;
  bool begun_ = false;
  Mutex mutex_;
  CondVar changed_;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::thread watch_;
};

LibvirtDiskExporter::LibvirtDiskExporter(Options options)
    : options_(std::move(options)), turns_(std::make_shared<Turns>()) {}

LibvirtDiskExporter::~LibvirtDiskExporter() = default;

absl::StatusOr<std::unique_ptr<DiskExport>> LibvirtDiskExporter::Export(
    const Uuid& uuid, const std::string& target) {
  turns_->Take(uuid);
  auto view = std::make_unique<View>(options_, uuid,
                                     std::make_unique<Turn>(turns_, uuid));
  RETURN_IF_ERROR_WITH(view->Begin(target), "a view of a running disk");
  return std::unique_ptr<DiskExport>(std::move(view));
}

absl::Status LibvirtDiskExporter::AbortLeftOvers() {
  ASSIGN_OR_RETURN(const JobConnection connection,
                   OpenJobConnection(options_.uri, options_.keepalive_seconds,
                                     options_.keepalive_count));
  virDomainPtr* raw = nullptr;
  const int count = virConnectListAllDomains(connection.connect.get(), &raw,
                                             VIR_CONNECT_LIST_DOMAINS_ACTIVE);
  if (count < 0) {
    return LibvirtStatus("listing domains");
  }
  std::vector<DomainHandle> domains;
  for (int i = 0; i < count; ++i) {
    domains.emplace_back(raw[i]);
  }
  std::free(raw);
  absl::Status first;
  for (const DomainHandle& domain : domains) {
    Uuid uuid;
    if (virDomainGetUUID(domain.get(), uuid.bytes.data()) == 0 &&
        turns_->TryTake(uuid)) {
      const Turn turn(turns_, uuid);
      first.Update(
          EndBackupBelow(domain.get(), options_.socket_dir, kEndLimit));
    }
  }
  RETURN_IF_ERROR(first);
  if (turns_->Idle()) {
    RemoveFiles();
  }
  return absl::OkStatus();
}

// A scratch file is named after its socket's folder.
void LibvirtDiskExporter::RemoveFiles() const {
  std::error_code error;
  for (const fs::directory_entry& view :
       fs::directory_iterator(options_.socket_dir, error)) {
    Remove(options_.scratch_dir / (view.path().filename().native() + ".qcow2"));
    Remove(view.path());
  }
}

}  // namespace vmattest::hypervisor
