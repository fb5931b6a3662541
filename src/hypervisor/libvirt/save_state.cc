#include <libvirt/virterror.h>

#include <optional>
#include <vector>

#include "fmt/format.h"
#include "hypervisor/libvirt/handles.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "hypervisor/libvirt/link.h"

namespace vmattest::hypervisor {
namespace {

constexpr std::chrono::seconds kEventDelay{1};

// Targets of all its disks, so that each can be left out of the snapshot:
// libvirt would put an overlay over whatever is not named.
absl::StatusOr<std::vector<std::string>> DiskTargets(virDomainPtr domain) {
  virDomainPtr domains[] = {domain, nullptr};
  virDomainStatsRecordPtr* records = nullptr;
  if (virDomainListGetStats(domains, VIR_DOMAIN_STATS_BLOCK, &records, 0) < 1) {
    return absl::UnavailableError("its disks are not told");
  }
  std::vector<std::string> targets;
  for (int i = 0; i < records[0]->nparams; ++i) {
    const virTypedParameter& parameter = records[0]->params[i];
    const std::string_view field = parameter.field;
    constexpr std::string_view kName = ".name";
    if (parameter.type == VIR_TYPED_PARAM_STRING &&
        field.substr(0, 6) == "block." && field.size() > kName.size() &&
        field.substr(field.size() - kName.size()) == kName) {
      targets.emplace_back(parameter.value.s);
    }
  }
  virDomainStatsRecordListFree(records);
  return targets;
}

std::string Quoted(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    switch (c) {
      case '&':
        quoted += "&amp;";
        break;
      case '<':
        quoted += "&lt;";
        break;
      case '\'':
        quoted += "&apos;";
        break;
      default:
        quoted += c;
    }
  }
  return quoted;
}

std::string SnapshotXml(const std::string& pipe,
                        const std::vector<std::string>& disks) {
  std::string xml = fmt::format(
      "<domainsnapshot><memory snapshot='external' file='{}'/><disks>",
      Quoted(pipe));
  for (const std::string& disk : disks) {
    xml += fmt::format("<disk name='{}' snapshot='no'/>", Quoted(disk));
  }
  return xml + "</disks></domainsnapshot>";
}

}  // namespace

// When libvirt tells that a domain stopped and went on, for as long as it is
// watched.
class LibvirtHypervisor::SaveWatch {
 public:
  static std::unique_ptr<SaveWatch> Begin(const ConnectHandle& connect,
                                          virDomainPtr domain) {
    std::unique_ptr<SaveWatch> watch(new SaveWatch(connect));
    watch->id_ = virConnectDomainEventRegisterAny(
        connect.get(), domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        VIR_DOMAIN_EVENT_CALLBACK(OnEvent),
        new std::shared_ptr<Times>(watch->times_),
        [](void* held) { delete static_cast<std::shared_ptr<Times>*>(held); });
    return watch;
  }
  SaveWatch(const SaveWatch&) = delete;
  SaveWatch& operator=(const SaveWatch&) = delete;
  ~SaveWatch() {
    if (id_ >= 0) {
      virConnectDomainEventDeregisterAny(connect_.get(), id_);
    }
  }

  // How long it stood; events may be a moment late.
  std::chrono::microseconds Stood() {
    const MutexLock lock(times_->mutex);
    const auto until = std::chrono::steady_clock::now() + kEventDelay;
    while (id_ >= 0 && !times_->resumed &&
           std::chrono::steady_clock::now() < until) {
      times_->changed.WaitUntil(times_->mutex, until);
    }
    return times_->suspended && times_->resumed
               ? std::chrono::duration_cast<std::chrono::microseconds>(
                     *times_->resumed - *times_->suspended)
               : std::chrono::microseconds(0);
  }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Times {
    Mutex mutex;
    CondVar changed;
    std::optional<Time> suspended GUARDED_BY(mutex);
    std::optional<Time> resumed GUARDED_BY(mutex);
  };
  explicit SaveWatch(ConnectHandle connect) : connect_(std::move(connect)) {}
  static int OnEvent(virConnectPtr /*connect*/, virDomainPtr /*domain*/,
                     int event, int /*detail*/, void* held) {
    Times& times = **static_cast<std::shared_ptr<Times>*>(held);
    const MutexLock lock(times.mutex);
    if (event == VIR_DOMAIN_EVENT_SUSPENDED && !times.suspended) {
      times.suspended = std::chrono::steady_clock::now();
    }
    if (event == VIR_DOMAIN_EVENT_RESUMED) {
      times.resumed = std::chrono::steady_clock::now();
      times.changed.NotifyAll();
    }
    return 0;
  }

  const ConnectHandle connect_;
  const std::shared_ptr<Times> times_ = std::make_shared<Times>();
  int id_ = -1;
};

absl::StatusOr<std::chrono::microseconds> LibvirtHypervisor::SaveState(
    const Uuid& uuid, const std::string& pipe) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const std::string clause =
      fmt::format("streaming the state of {}", ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  int state = 0;
  if (handle == nullptr ||
      virDomainGetState(handle.get(), &state, nullptr, 0) < 0) {
    return link_->Failed(connect, clause);
  }
  const bool ran = state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED;
  if (!ran && state != VIR_DOMAIN_PAUSED) {
    return absl::FailedPreconditionError(clause + ": it does not run");
  }
  ASSIGN_OR_RETURN_WITH(const std::vector<std::string> disks,
                        DiskTargets(handle.get()), clause);
  {
    const MutexLock lock(pauses_mutex_);
    if (!pauses_.emplace(uuid, !ran).second) {
      return absl::FailedPreconditionError(clause + ": it is paused for this");
    }
  }
  const std::unique_ptr<SaveWatch> watch =
      SaveWatch::Begin(connect, handle.get());
  // With REUSE_EXT a disk that is not named, since it was plugged just now, is
  // an error, and not an overlay.
  const virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(
      handle.get(), SnapshotXml(pipe, disks).c_str(),
      VIR_DOMAIN_SNAPSHOT_CREATE_LIVE | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
          VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT);
  absl::Status status;
  if (snapshot == nullptr) {
    const int code = virGetLastErrorCode();
    status = link_->Failed(connect, clause);
    // "operation aborted", and QEMU's broken pipe.
    if (code == VIR_ERR_OPERATION_ABORTED || code == VIR_ERR_OPERATION_FAILED) {
      status = absl::AbortedError(status.message());
    }
  } else {
    virDomainSnapshotFree(snapshot);
  }
  // libvirt lets a guest run that ran when it began. Held over the call: a
  // Suspend() comes before it, and is seen, or after it.
  {
    const MutexLock lock(pauses_mutex_);
    ASSIGN_OR_RETURN(const bool stays, TakePause(uuid));
    if (ran && stays && virDomainSuspend(handle.get()) < 0) {
      return link_->Failed(connect, clause + ": pausing it again");
    }
  }
  RETURN_IF_ERROR(status);
  return ran ? watch->Stood() : std::chrono::microseconds(0);
}

absl::Status LibvirtHypervisor::AbortSave(const Uuid& uuid) {
  {
    const MutexLock lock(pauses_mutex_);
    if (pauses_.find(uuid) == pauses_.end()) {
      return absl::OkStatus();
    }
  }
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const std::string clause = fmt::format("ending a save of {}", ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  virDomainJobInfo job{};
  if (handle == nullptr || virDomainGetJobInfo(handle.get(), &job) < 0) {
    return link_->Failed(connect, clause);
  }
  if (job.type != VIR_DOMAIN_JOB_NONE && virDomainAbortJob(handle.get()) < 0 &&
      virGetLastErrorCode() != VIR_ERR_OPERATION_INVALID) {
    return link_->Failed(connect, clause);
  }
  return absl::OkStatus();
}

absl::Status LibvirtHypervisor::CheckMemoryIsHere(const Uuid& uuid) {
  int state = 0;
  int reason = 0;
  RETURN_IF_ERROR(
      link_->OnActive(uuid, "state of", [&](const virDomainPtr domain) {
        return virDomainGetState(domain, &state, &reason, 0);
      }));
  const bool away = state == VIR_DOMAIN_RUNNING
                        ? reason == VIR_DOMAIN_RUNNING_POSTCOPY ||
                              reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED
                        : state == VIR_DOMAIN_PAUSED &&
                              (reason == VIR_DOMAIN_PAUSED_POSTCOPY ||
                               reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED);
  return away ? absl::FailedPreconditionError(
                    "post-copy: a migration has its memory on two hosts")
              : absl::OkStatus();
}

}  // namespace vmattest::hypervisor
