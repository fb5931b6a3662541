#include "worker/guestfs/inspect_contents.h"

#include <string>
#include <utility>

#include "disk/inspect_contents.h"
#include "worker/disk_messages.h"

namespace vmattest::worker {

absl::StatusOr<internal::WorkerReply> HandleInspectContents(
    RemoteAppliance& appliance, const internal::WorkerRequest& request,
    std::vector<UniqueFd> descriptors,
    const WorkerProgram::SendProgress& progress) {
  const internal::WorkerRequest::InspectDisk& wanted = request.inspect_disk();
  if (wanted.contents().empty() || descriptors.size() != 1) {
    return absl::InvalidArgumentError("no request to look into contents");
  }
  disk::InspectLimits limits;
  limits.leaves = wanted.max_leaves();
  limits.time = std::chrono::milliseconds(wanted.inventory_ms());
  ASSIGN_OR_RETURN(const HashAlgorithm algorithm,
                   ToAlgorithm(wanted.algorithm()));
  internal::ApplianceRequest::Start start;
  start.set_nbd(wanted.nbd());
  start.set_nbd_export(wanted.nbd_export());
  start.set_size(wanted.size());
  *start.mutable_contents() = wanted.contents();
  start.set_force_tcg(wanted.force_tcg());
  ASSIGN_OR_RETURN(const std::vector<std::string> devices,
                   appliance.Start(start, std::move(descriptors[0])));
  progress(0);
  std::vector<disk::ApplianceContent> contents;
  for (const internal::UnreadContent& content : wanted.contents()) {
    contents.push_back(
        {content.prefix(), devices[contents.size()], content.size()});
  }
  inspection::DiskReport report;
  ASSIGN_OR_RETURN(report.leaves, disk::InspectContents(appliance, contents,
                                                        algorithm, limits));
  return ToReply(report);
}

}  // namespace vmattest::worker
