#include "worker/guestfs/serve_appliance.h"

#include <optional>
#include <utility>

namespace vmattest::worker {
namespace {

using internal::ApplianceReply;
using internal::ApplianceRequest;

absl::Status CheckSize(uint32_t size) {
  return size <= disk::Appliance::kMaxRead
             ? absl::OkStatus()
             : absl::InvalidArgumentError("more than one call may read");
}

void Put(const disk::Appliance::File& file, ApplianceReply& reply) {
  ApplianceReply::File& added = *reply.add_files();
  added.set_path(file.path);
  added.set_kind(static_cast<uint32_t>(file.kind));
  added.set_size(file.size);
}

void Put(const disk::Appliance::Lvm& lvm, ApplianceReply& reply) {
  for (const auto& volume : lvm.physical) {
    ApplianceReply::PhysicalVolume& added = *reply.add_physical();
    added.set_device(volume.device);
    added.set_uuid(volume.uuid);
  }
  for (const auto& group : lvm.groups) {
    ApplianceReply::Group& added = *reply.add_groups();
    added.set_name(group.name);
    added.set_uuid(group.uuid);
    for (const std::string& uuid : group.physical) {
      added.add_physical(uuid);
    }
  }
  for (const auto& volume : lvm.logical) {
    ApplianceReply::LogicalVolume& added = *reply.add_logical();
    added.set_group(volume.group);
    added.set_name(volume.name);
    added.set_uuid(volume.uuid);
    added.set_device(volume.device);
    added.set_size(volume.size);
  }
}

// Whatever is not read from a device or a file.
absl::Status Describe(const ApplianceRequest& request,
                      disk::Appliance& appliance, ApplianceReply& reply) {
  switch (request.body_case()) {
    case ApplianceRequest::kLvm: {
      ASSIGN_OR_RETURN(const disk::Appliance::Lvm lvm, appliance.ReadLvm());
      Put(lvm, reply);
      return absl::OkStatus();
    }
    case ApplianceRequest::kSubvolumes: {
      ASSIGN_OR_RETURN(const auto subvolumes, appliance.Subvolumes());
      for (const disk::Appliance::Subvolume& subvolume : subvolumes) {
        ApplianceReply::Subvolume& added = *reply.add_listed();
        added.set_id(subvolume.id);
        added.set_path(subvolume.path);
      }
      return absl::OkStatus();
    }
    case ApplianceRequest::kDefaultSubvolume: {
      ASSIGN_OR_RETURN(const uint64_t id, appliance.DefaultSubvolume());
      reply.set_subvolume(id);
      return absl::OkStatus();
    }
    case ApplianceRequest::kXfsLog: {
      ASSIGN_OR_RETURN(*reply.mutable_text(),
                       appliance.XfsLog(request.xfs_log().device()));
      return absl::OkStatus();
    }
    default:
      return absl::InvalidArgumentError("no request to an appliance");
  }
}

absl::Status Read(const ApplianceRequest& request, disk::Appliance& appliance,
                  ApplianceReply& reply) {
  const bool is_file = request.has_read_file();
  const uint32_t size =
      is_file ? request.read_file().size() : request.read_device().size();
  RETURN_IF_ERROR(CheckSize(size));
  std::string& content = *reply.mutable_content();
  content.resize(size);
  const std::span<uint8_t> buffer(reinterpret_cast<uint8_t*>(content.data()),
                                  content.size());
  return is_file ? appliance.ReadFile(request.read_file().path(),
                                      request.read_file().offset(), buffer)
                 : appliance.ReadDevice(request.read_device().device(),
                                        request.read_device().offset(), buffer);
}

absl::Status Handle(const ApplianceRequest& request, disk::Appliance& appliance,
                    ApplianceReply& reply) {
  switch (request.body_case()) {
    case ApplianceRequest::kReadDevice:
    case ApplianceRequest::kReadFile:
      return Read(request, appliance, reply);
    case ApplianceRequest::kMount:
      return appliance.Mount(request.mount().device(),
                             request.mount().options());
    case ApplianceRequest::kUnmount:
      return appliance.Unmount();
    case ApplianceRequest::kFind: {
      ASSIGN_OR_RETURN(const disk::Appliance::File file,
                       appliance.Find(request.find().path()));
      Put(file, reply);
      return absl::OkStatus();
    }
    case ApplianceRequest::kList: {
      ASSIGN_OR_RETURN(const auto files,
                       appliance.List(request.list().folder()));
      for (const disk::Appliance::File& file : files) {
        Put(file, reply);
      }
      return absl::OkStatus();
    }
    default:
      return Describe(request, appliance, reply);
  }
}

absl::Status Begin(const ApplianceRequest& request,
                   std::vector<UniqueFd> descriptors,
                   const StartAppliance& start, StartedAppliance& started,
                   ApplianceReply& reply) {
  if (!request.has_start() || descriptors.size() != 1) {
    return absl::InvalidArgumentError("no request to start an appliance");
  }
  ASSIGN_OR_RETURN(started, start(request.start(), std::move(descriptors[0])));
  for (const std::string& device : started.devices) {
    reply.add_devices(device);
  }
  return absl::OkStatus();
}

absl::Status SendReply(ipc::Channel& channel, const absl::Status& status,
                       const absl::Status& disk, ApplianceReply reply) {
  if (!status.ok()) {
    reply.Clear();
    reply.set_code(status.raw_code());
    reply.set_message(std::string(status.message()));
  }
  if (!disk.ok()) {
    reply.set_disk_code(disk.raw_code());
    reply.set_disk_message(std::string(disk.message()));
  }
  ipc::Message message{Bytes(reply.ByteSizeLong()), {}};
  (void)reply.SerializeToArray(message.bytes.data(),
                               static_cast<int>(message.bytes.size()));
  return channel.Send(message, ipc::kNoDeadline);
}

}  // namespace

absl::Status ServeAppliance(ipc::Channel& channel,
                            const StartAppliance& start) {
  StartedAppliance started;
  while (true) {
    absl::StatusOr<ipc::Message> message = channel.Receive(ipc::kNoDeadline);
    if (absl::IsUnavailable(message.status())) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(message.status());
    ApplianceRequest request;
    if (!request.ParseFromArray(message->bytes.data(),
                                static_cast<int>(message->bytes.size()))) {
      return absl::DataLossError("the other process sent what is no request");
    }
    ApplianceReply reply;
    const bool first = started.appliance == nullptr;
    const absl::Status status =
        first ? Begin(request, std::move(message->descriptors), start, started,
                      reply)
              : Handle(request, *started.appliance, reply);
    const absl::Status disk = started.appliance != nullptr
                                  ? started.appliance->disk_failure()
                                  : absl::OkStatus();
    RETURN_IF_ERROR(SendReply(channel, status, disk, std::move(reply)));
  }
}

}  // namespace vmattest::worker
