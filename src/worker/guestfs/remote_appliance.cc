#include "worker/guestfs/remote_appliance.h"

#include <algorithm>
#include <utility>

namespace vmattest::worker {
namespace {

using internal::ApplianceReply;
using internal::ApplianceRequest;

constexpr int kMaxCode = static_cast<int>(absl::StatusCode::kUnauthenticated);

absl::Status ToStatus(int code, const std::string& message) {
  if (code == 0) {
    return absl::OkStatus();
  }
  const bool known = code > 0 && code <= kMaxCode;
  return {
      known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
      message};
}

disk::Appliance::File ToFile(const ApplianceReply::File& from) {
  disk::Appliance::File file{.path = from.path(),
                             .kind = disk::FileEntry::Kind::kOther,
                             .size = from.size()};
  for (const auto kind :
       {disk::FileEntry::Kind::kFile, disk::FileEntry::Kind::kFolder,
        disk::FileEntry::Kind::kLink}) {
    if (from.kind() == static_cast<uint32_t>(kind)) {
      file.kind = kind;
    }
  }
  return file;
}

}  // namespace

absl::StatusOr<ApplianceReply> RemoteAppliance::Ask(
    const ApplianceRequest& request, std::vector<UniqueFd> descriptors) {
  ipc::Message message{Bytes(request.ByteSizeLong()), std::move(descriptors)};
  (void)request.SerializeToArray(message.bytes.data(),
                                 static_cast<int>(message.bytes.size()));
  RETURN_IF_ERROR_WITH(channel_.Send(message, ipc::kNoDeadline),
                       "the appliance");
  ASSIGN_OR_RETURN_WITH(const ipc::Message answer,
                        channel_.Receive(ipc::kNoDeadline), "the appliance");
  ApplianceReply reply;
  if (!answer.descriptors.empty() ||
      !reply.ParseFromArray(answer.bytes.data(),
                            static_cast<int>(answer.bytes.size()))) {
    return absl::UnavailableError("the appliance: it sent what is no reply");
  }
  disk_failure_.Update(ToStatus(reply.disk_code(), reply.disk_message()));
  RETURN_IF_ERROR(ToStatus(reply.code(), reply.message()));
  return reply;
}

absl::StatusOr<std::vector<std::string>> RemoteAppliance::Start(
    const ApplianceRequest::Start& start, UniqueFd image) {
  ApplianceRequest request;
  *request.mutable_start() = start;
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(std::move(image));
  ASSIGN_OR_RETURN(const ApplianceReply reply,
                   Ask(request, std::move(descriptors)));
  if (reply.devices_size() != start.contents_size()) {
    return absl::DataLossError("it has other devices than it was given");
  }
  return std::vector<std::string>(reply.devices().begin(),
                                  reply.devices().end());
}

absl::Status RemoteAppliance::Fill(const ApplianceRequest& request,
                                   std::span<uint8_t> buffer) {
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  if (reply.content().size() != buffer.size()) {
    return absl::DataLossError("a piece of it cannot be read");
  }
  std::copy(reply.content().begin(), reply.content().end(), buffer.begin());
  return absl::OkStatus();
}

absl::Status RemoteAppliance::ReadDevice(const std::string& device,
                                         uint64_t offset,
                                         std::span<uint8_t> buffer) {
  ApplianceRequest request;
  request.mutable_read_device()->set_device(device);
  request.mutable_read_device()->set_offset(offset);
  request.mutable_read_device()->set_size(static_cast<uint32_t>(buffer.size()));
  return Fill(request, buffer);
}

absl::StatusOr<disk::Appliance::Lvm> RemoteAppliance::ReadLvm() {
  ApplianceRequest request;
  (void)request.mutable_lvm();
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  Lvm lvm;
  for (const auto& volume : reply.physical()) {
    lvm.physical.push_back({volume.device(), volume.uuid()});
  }
  for (const auto& group : reply.groups()) {
    lvm.groups.push_back({group.name(),
                          group.uuid(),
                          {group.physical().begin(), group.physical().end()}});
  }
  for (const auto& volume : reply.logical()) {
    lvm.logical.push_back({volume.group(), volume.name(), volume.uuid(),
                           volume.device(), volume.size()});
  }
  return lvm;
}

absl::StatusOr<std::string> RemoteAppliance::XfsLog(const std::string& device) {
  ApplianceRequest request;
  request.mutable_xfs_log()->set_device(device);
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  return reply.text();
}

absl::Status RemoteAppliance::Mount(const std::string& device,
                                    const std::string& options) {
  ApplianceRequest request;
  request.mutable_mount()->set_device(device);
  request.mutable_mount()->set_options(options);
  return Ask(request).status();
}

absl::Status RemoteAppliance::Unmount() {
  ApplianceRequest request;
  (void)request.mutable_unmount();
  return Ask(request).status();
}

absl::StatusOr<std::vector<disk::Appliance::Subvolume>>
RemoteAppliance::Subvolumes() {
  ApplianceRequest request;
  (void)request.mutable_subvolumes();
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  std::vector<Subvolume> subvolumes;
  for (const auto& subvolume : reply.listed()) {
    subvolumes.push_back({subvolume.id(), subvolume.path()});
  }
  return subvolumes;
}

absl::StatusOr<uint64_t> RemoteAppliance::DefaultSubvolume() {
  ApplianceRequest request;
  (void)request.mutable_default_subvolume();
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  return reply.subvolume();
}

absl::StatusOr<disk::Appliance::File> RemoteAppliance::Find(
    const std::string& path) {
  ApplianceRequest request;
  request.mutable_find()->set_path(path);
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  if (reply.files_size() != 1) {
    return absl::DataLossError("it found no file, nor none");
  }
  return ToFile(reply.files(0));
}

absl::StatusOr<std::vector<disk::Appliance::File>> RemoteAppliance::List(
    const std::string& folder) {
  ApplianceRequest request;
  request.mutable_list()->set_folder(folder);
  ASSIGN_OR_RETURN(const ApplianceReply reply, Ask(request));
  std::vector<File> files;
  for (const auto& file : reply.files()) {
    files.push_back(ToFile(file));
  }
  return files;
}

absl::Status RemoteAppliance::ReadFile(const std::string& path, uint64_t offset,
                                       std::span<uint8_t> buffer) {
  ApplianceRequest request;
  request.mutable_read_file()->set_path(path);
  request.mutable_read_file()->set_offset(offset);
  request.mutable_read_file()->set_size(static_cast<uint32_t>(buffer.size()));
  return Fill(request, buffer);
}

}  // namespace vmattest::worker
