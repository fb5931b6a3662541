#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "disk/block_source.h"
#include "disk/file_block_source.h"
#include "disk/inspect.h"
#include "disk/nbd_block_source.h"
#include "worker/disk_messages.h"
#include "worker/worker_program.h"

namespace vmattest::worker {
namespace {

using InspectDisk = internal::WorkerRequest::InspectDisk;

absl::StatusOr<std::unique_ptr<disk::BlockSource>> OpenSource(
    const InspectDisk& request, UniqueFd descriptor) {
  if (!request.nbd()) {
    return std::make_unique<disk::FileBlockSource>(std::move(descriptor),
                                                   request.size());
  }
  return disk::NbdBlockSource::Connect(std::move(descriptor),
                                       request.nbd_export());
}

}  // namespace

void PrepareInspectDisk() { disk::Prepare(); }

absl::StatusOr<internal::WorkerReply> HandleInspectDisk(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
    const WorkerProgram::SendProgress& progress) {
  if (request.has_parse_header()) {
    return HandleParseHeader(request, std::move(descriptors));
  }
  if (!request.has_inspect_disk() || descriptors.size() != 1) {
    return absl::InvalidArgumentError("no request to look into a disk");
  }
  const InspectDisk& wanted = request.inspect_disk();
  disk::InspectOptions options;
  ASSIGN_OR_RETURN(options.algorithm, ToAlgorithm(wanted.algorithm()));
  options.inventory = wanted.inventory();
  options.guest_digest = wanted.guest_digest();
  if (wanted.inventory_ms() != 0) {
    options.limits.time = std::chrono::milliseconds(wanted.inventory_ms());
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<disk::BlockSource> source,
                   OpenSource(wanted, std::move(descriptors[0])));
  ASSIGN_OR_RETURN(const inspection::DiskReport report,
                   disk::Inspect(*source, options, progress));
  return ToReply(report);
}

}  // namespace vmattest::worker
