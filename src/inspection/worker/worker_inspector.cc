#include "inspection/worker/worker_inspector.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <utility>

#include "fmt/format.h"
#include "image/content_file.h"
#include "inspection/worker/image_lock.h"
#include "inspection/worker/reply_leaves.h"

namespace vmattest::inspection {
namespace {

// A file of the disk, from before it is read until after.
struct OpenedFile {
  std::string path;
  image::ContentFile file;
};

absl::Status CheckLayer(const image::ImageLayer& layer) {
  const auto refuse = [&layer](std::string_view why) {
    return absl::FailedPreconditionError(
        fmt::format("{}: {}", layer.path, why));
  };
  if (!layer.local || !layer.data_file_local) {
    return refuse("network backing: it is not read");
  }
  if (layer.encrypted) {
    return refuse("encrypted image: its keys are not here");
  }
  if (layer.format != "raw" && layer.format != "qcow2") {
    return refuse(fmt::format("format '{}' is not read", layer.format));
  }
  return absl::OkStatus();
}

absl::Status Open(const std::string& path, std::vector<OpenedFile>& files) {
  ASSIGN_OR_RETURN(image::ContentFile file, image::OpenContent(path));
  RETURN_IF_ERROR(CheckNotBeingWritten(file.fd.get(), path));
  files.push_back({path, std::move(file)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<OpenedFile>> OpenAll(
    const std::vector<image::ImageLayer>& layers) {
  std::vector<OpenedFile> files;
  for (const image::ImageLayer& layer : layers) {
    RETURN_IF_ERROR(CheckLayer(layer));
    RETURN_IF_ERROR(Open(layer.path, files));
    if (layer.data_file) {
      RETURN_IF_ERROR(Open(*layer.data_file, files));
    }
  }
  return files;
}

// A writer that came and went moved the times; one that came is still there.
absl::Status CheckAll(const std::vector<OpenedFile>& files) {
  for (const OpenedFile& opened : files) {
    const absl::Status writer =
        CheckNotBeingWritten(opened.file.fd.get(), opened.path);
    if (!writer.ok()) {
      return absl::AbortedError(fmt::format(
          "{}: it was opened for writing while it was read", opened.path));
    }
    RETURN_IF_ERROR(image::CheckUnchanged(opened.file, opened.path));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) {
    return ErrnoStatus(errno, "duplicating a descriptor");
  }
  return copy;
}

absl::StatusOr<UniqueFd> ConnectTo(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        fmt::format("{}: too long for a socket's path", path));
  }
  path.copy(address.sun_path, path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof address) != 0) {
    const int error = errno;
    return absl::UnavailableError(
        std::string(ErrnoStatus(error, path).message()));
  }
  return fd;
}

}  // namespace

WorkerInspector::WorkerInspector(WorkerPool& pool,
                                 image::HeaderParserFactory parsers,
                                 hypervisor::DiskExporter* exporter,
                                 Options options)
    : pool_(pool),
      parsers_(std::move(parsers)),
      exporter_(exporter),
      options_(std::move(options)),
      guestfs_(options_.guestfs) {}

absl::StatusOr<DiskReport> WorkerInspector::Inspect(const Request& request) {
  const MonotonicTime deadline =
      std::chrono::steady_clock::now() + options_.limit;
  return request.running_vm.empty() ? InspectFiles(request, deadline)
                                    : InspectRunning(request, deadline);
}

absl::StatusOr<DiskReport> WorkerInspector::InspectFiles(
    const Request& request, MonotonicTime deadline) {
  const std::unique_ptr<image::HeaderParser> parser = parsers_();
  ASSIGN_OR_RETURN(const std::vector<image::ImageLayer> layers,
                   image::ResolveChain(request.path, request.format, *parser));
  ASSIGN_OR_RETURN(const std::vector<OpenedFile> files, OpenAll(layers));
  GuestfsReader::Image image;
  std::unique_ptr<ImageServer> server;
  if (layers.size() == 1 && layers[0].format == "raw") {
    image.asked.mutable_inspect_disk()->set_size(files[0].file.size);
    image.open = [&] { return Duplicate(files[0].file.fd.get()); };
  } else {
    image.asked.mutable_inspect_disk()->set_nbd(true);
    image.asked.mutable_inspect_disk()->set_nbd_export(ImageServer::kExport);
    // It serves one connection; the one before it ends here.
    image.open = [&]() -> absl::StatusOr<UniqueFd> {
      ASSIGN_OR_RETURN(server,
                       ImageServer::Start(layers, options_.server,
                                          {deadline, request.cancelled}));
      return server->TakeConnection();
    };
  }
  absl::StatusOr<DiskReport> report = Ask(request, std::move(image), deadline);
  // Whatever came of it: a file that changed is the better reason.
  RETURN_IF_ERROR(CheckAll(files));
  return report;
}

absl::StatusOr<DiskReport> WorkerInspector::InspectRunning(
    const Request& request, MonotonicTime deadline) {
  if (exporter_ == nullptr) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: in use by the running VM, and nothing here can export it",
        request.path));
  }
  ASSIGN_OR_RETURN(const Uuid uuid, ParseUuid(request.running_vm));
  ASSIGN_OR_RETURN(const std::unique_ptr<hypervisor::DiskExport> view,
                   exporter_->Export(uuid, request.target));
  GuestfsReader::Image image;
  image.asked.mutable_inspect_disk()->set_nbd(true);
  image.asked.mutable_inspect_disk()->set_nbd_export(view->export_name());
  image.open = [&view] { return ConnectTo(view->socket()); };
  return Ask(request, std::move(image), deadline);
}

absl::StatusOr<DiskReport> WorkerInspector::Ask(const Request& request,
                                                GuestfsReader::Image image,
                                                MonotonicTime deadline) {
  internal::WorkerRequest::InspectDisk& disk =
      *image.asked.mutable_inspect_disk();
  disk.set_algorithm(static_cast<v1::HashAlgorithm>(request.algorithm));
  disk.set_inventory(request.inside != InsidePolicy::kNone);
  disk.set_guest_digest(request.inside == InsidePolicy::kFull);
  ASSIGN_OR_RETURN(DiskReport report, AskWorker(request, image, deadline));
  RETURN_IF_ERROR_WITH(guestfs_.Complete(image, request, deadline, report),
                       request.path);
  return report;
}

absl::StatusOr<DiskReport> WorkerInspector::AskWorker(
    const Request& request, const GuestfsReader::Image& image,
    MonotonicTime deadline) {
  const bool has_digest = image.asked.inspect_disk().guest_digest();
  ASSIGN_OR_RETURN(UniqueFd descriptor, image.open());
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(std::move(descriptor));
  absl::StatusOr<internal::WorkerReply> reply =
      pool_.Run(image.asked, std::move(descriptors),
                {deadline, request.progress, request.cancelled});
  if (!reply.ok()) {
    return Annotate(reply.status(), request.path);
  }
  DiskReport report;
  ASSIGN_OR_RETURN_WITH(report.leaves, LeavesOf(*reply, options_.max_leaves),
                        request.path);
  ASSIGN_OR_RETURN_WITH(report.unread, UnreadOf(reply->disk()), request.path);
  report.size = reply->disk().size();
  const std::string& digest = reply->disk().guest_digest();
  if (digest.size() != (has_digest ? DigestSize(request.algorithm) : 0)) {
    return absl::DataLossError(fmt::format(
        "{}: the worker's digest has {} bytes", request.path, digest.size()));
  }
  if (has_digest) {
    report.guest_digest = DigestBytes(digest.begin(), digest.end());
  }
  return report;
}

}  // namespace vmattest::inspection
