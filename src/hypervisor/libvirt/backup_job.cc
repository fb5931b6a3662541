#include "hypervisor/libvirt/backup_job.h"

#include <libvirt/virterror.h>

#include <charconv>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "hypervisor/libvirt/libvirt_errors.h"

namespace vmattest::hypervisor {
namespace {

// libvirt tells the end of a job by an event too; asking needs no second way.
constexpr std::chrono::milliseconds kAskAgain{5};

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// "+64055:+64055"
bool ParseDacLabel(std::string_view label, Owner& owner) {
  const size_t colon = label.find(":+");
  if (label.empty() || label[0] != '+' || colon == std::string_view::npos) {
    return false;
  }
  const std::string_view user = label.substr(1, colon - 1);
  const std::string_view group = label.substr(colon + 2);
  Owner parsed;
  const auto read_user =
      std::from_chars(user.data(), user.data() + user.size(), parsed.user);
  const auto read_group =
      std::from_chars(group.data(), group.data() + group.size(), parsed.group);
  if (read_user.ec != std::errc() ||
      read_user.ptr != user.data() + user.size() ||
      read_group.ec != std::errc() ||
      read_group.ptr != group.data() + group.size()) {
    return false;
  }
  owner = parsed;
  return true;
}

// What libvirt calls internal here is QEMU's refusal.
absl::Status BeginStatus(const std::string& clause) {
  const virErrorPtr error = virGetLastError();
  const int code = error == nullptr ? VIR_ERR_OK : error->code;
  absl::Status status = LibvirtStatus(clause);
  if (code == VIR_ERR_CONFIG_UNSUPPORTED ||
      code == VIR_ERR_OPERATION_UNSUPPORTED ||
      code == VIR_ERR_OPERATION_FAILED || absl::IsDeadlineExceeded(status) ||
      absl::IsInternal(status) || absl::IsInvalidArgument(status)) {
    return absl::FailedPreconditionError(std::string(status.message()));
  }
  return status;
}

}  // namespace

absl::StatusOr<JobConnection> OpenJobConnection(const std::string& uri,
                                                int keepalive_seconds,
                                                unsigned keepalive_count) {
  JobConnection opened;
  ASSIGN_OR_RETURN(opened.loop, EventLoop::Acquire());
  const std::string clause = fmt::format("connecting to {}", uri);
  opened.connect = OwnConnect(virConnectOpenAuth(uri.c_str(), nullptr, 0));
  if (opened.connect == nullptr ||
      virConnectSetKeepAlive(opened.connect.get(), keepalive_seconds,
                             keepalive_count) < 0) {
    return LibvirtStatus(clause);
  }
  return opened;
}

absl::StatusOr<DomainHandle> FindRunning(const ConnectHandle& connect,
                                         const Uuid& uuid) {
  const std::string clause = fmt::format("domain {}", ToString(uuid));
  DomainHandle domain(virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  const int active = domain == nullptr ? -1 : virDomainIsActive(domain.get());
  if (active < 0) {
    return LibvirtStatus(clause);
  }
  if (active == 0) {
    return absl::NotFoundError(fmt::format("{} is not running", clause));
  }
  return domain;
}

Owner OwnerOf(virDomainPtr domain) {
  Owner owner;
  virSecurityLabelPtr labels = nullptr;
  const int count = virDomainGetSecurityLabelList(domain, &labels);
  for (int i = 0; i < count; ++i) {
    if (ParseDacLabel(labels[i].label, owner)) {
      break;
    }
  }
  std::free(labels);
  return owner;
}

absl::Status BeginBackup(virDomainPtr domain, const std::string& target,
                         const std::filesystem::path& socket,
                         const std::filesystem::path& scratch) {
  const std::string clause =
      fmt::format("domain '{}', disk {}", virDomainGetName(domain), target);
  virDomainBlockInfo info = {};
  if (virDomainGetBlockInfo(domain, target.c_str(), &info, 0) < 0) {
    const bool unknown = virGetLastErrorCode() == VIR_ERR_INVALID_ARG;
    absl::Status status = LibvirtStatus(clause);
    return unknown ? absl::NotFoundError(std::string(status.message()))
                   : status;
  }
  // libvirt would wait half a minute for the other job to end.
  virDomainJobInfo job = {};
  if (virDomainGetJobInfo(domain, &job) == 0 &&
      job.type != VIR_DOMAIN_JOB_NONE) {
    return absl::FailedPreconditionError(
        fmt::format("{}: another job of the domain is running", clause));
  }
  // Disks that are not listed take no part.
  const std::string xml = fmt::format(
      "<domainbackup mode='pull'>"
      "<server transport='unix' socket='{}'/>"
      "<disks><disk name='{}' backup='yes' type='file' exportname='{}'>"
      "<driver type='qcow2'/><scratch file='{}'/></disk></disks>"
      "</domainbackup>",
      Escape(socket.native()), Escape(target), Escape(target),
      Escape(scratch.native()));
  if (virDomainBackupBegin(domain, xml.c_str(), nullptr, 0) < 0) {
    return BeginStatus(clause);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> RunsBackupBelow(virDomainPtr domain,
                                     const std::filesystem::path& folder) {
  const TextHandle xml(virDomainBackupGetXMLDesc(domain, 0));
  if (xml == nullptr) {
    const int code = virGetLastErrorCode();
    if (code == VIR_ERR_NO_DOMAIN_BACKUP || code == VIR_ERR_NO_DOMAIN ||
        code == VIR_ERR_OPERATION_INVALID) {
      return false;
    }
    return LibvirtStatus(
        fmt::format("domain '{}': its backup", virDomainGetName(domain)));
  }
  // libvirt writes attributes in single quotes, escaped as we do.
  return std::string_view(xml.get()).find(fmt::format(
             "socket='{}/", Escape(folder.native()))) != std::string_view::npos;
}

absl::Status EndBackupBelow(virDomainPtr domain,
                            const std::filesystem::path& folder,
                            std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  bool asked = false;
  while (true) {
    ASSIGN_OR_RETURN(const bool runs, RunsBackupBelow(domain, folder));
    if (!runs) {
      return absl::OkStatus();
    }
    if (!asked && virDomainAbortJob(domain) < 0 &&
        virGetLastErrorCode() != VIR_ERR_OPERATION_INVALID) {
      return LibvirtStatus(fmt::format("domain '{}': ending a backup",
                                       virDomainGetName(domain)));
    }
    asked = true;
    if (std::chrono::steady_clock::now() > until) {
      return absl::DeadlineExceededError(fmt::format(
          "domain '{}': a backup does not end", virDomainGetName(domain)));
    }
    std::this_thread::sleep_for(kAskAgain);
  }
}

}  // namespace vmattest::hypervisor
